"""What chat models think before they answer: asked for in requests, passed on in messages.

Releases from 9.4 on have it.
Source: Reasoning, ReasoningDetail, OpenAiUnifiedChatCompletionParser.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from proxy.ground.errors import IllegalArgument
from proxy.xcontent.document import Document, Node
from proxy.xcontent.objectparser import (
    BOOLEAN,
    NUMBER,
    OBJECT,
    STRING,
    Field,
    Located,
    ObjectParser,
    read_boolean,
    read_long,
    read_string,
)
from proxy.xcontent.values import Json

_EFFORTS: Final = ("xhigh", "high", "medium", "low", "minimal", "none")
_SUMMARIES: Final = ("auto", "concise", "detailed")
# The fields that details of each type have, beside those that all may have.
_CONTENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "reasoning.encrypted": ("data",),
    "reasoning.summary": ("summary",),
    "reasoning.text": ("text", "signature"),
}
_TEXTS: Final = ("type", "format", "id", "data", "summary", "text", "signature")


def known_detail(detail: Any) -> Json | None:
    """A detail as Elasticsearch writes it; None for one of another kind, or without a content."""
    kind = detail.get("type") if isinstance(detail, dict) else None
    if not isinstance(kind, str) or kind not in _CONTENTS:
        return None
    known = {
        name: value
        for name in ("type", "format", "id", "index", *_CONTENTS[kind])
        if (value := detail.get(name)) is not None and _fits(name, value)
    }
    return known if any(name in known for name in _CONTENTS[kind]) else None


def _fits(name: str, value: Any) -> bool:
    return type(value) is int if name == "index" else isinstance(value, str)


# Requests

_TEXT: Final = Field(STRING, read_string)
_DETAIL: Final = ObjectParser(
    "ReasoningDetail",
    {**dict.fromkeys(_TEXTS, _TEXT), "index": Field(NUMBER, read_long)},
    ("type",),
)
_REASONING: Final = ObjectParser(
    "Reasoning",
    {
        "effort": _TEXT,
        "summary": _TEXT,
        "exclude": Field(BOOLEAN, read_boolean),
        "enabled": Field(BOOLEAN, read_boolean),
    },
)


def read_detail(document: Document, node: Node) -> Json:
    """A detail that a caller sends back. Raises: Located."""
    values = _DETAIL.parse(document, node)
    detail = known_detail(values)
    if detail is None or len(detail) != len(values):
        kinds = ", ".join(_CONTENTS)
        raise _refused(node, f"a reasoning detail must be of a type in [{kinds}], with its fields")
    return detail


def _read_reasoning(document: Document, node: Node) -> Json:
    values = _REASONING.parse(document, node)
    if not {"effort", "enabled"} & values.keys():
        reason = "Required one of fields [effort, enabled], but none were specified. "
        raise _refused(node, reason)
    for name, allowed in (("effort", _EFFORTS), ("summary", _SUMMARIES)):
        if name in values:
            values[name] = values[name].strip().lower()
            if values[name] not in allowed:
                raise _refused(node, f"[{name}] must be one of [{', '.join(allowed)}]")
    if values.get("enabled") is False and "effort" not in values:
        raise _refused(node, "When [enabled] is false, [effort] must be specified.")
    order = ("effort", "summary", "exclude", "enabled")
    return {name: values[name] for name in order if name in values}


def _refused(node: Node, reason: str) -> Located:
    return Located(IllegalArgument(reason), node.end - 1)


REASONING: Final = Field(OBJECT, _read_reasoning)
