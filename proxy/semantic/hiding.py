"""Keeps what the layer adds out of the texts and values that callers see."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from proxy.semantic import layout

_LEAVES: Final = "|".join((layout.CHUNKS, layout.MODEL, layout.SEEN, r"def\d+"))
_KEY: Final = r"[^\s\"'`()\[\]{},|=^*~]"
# A path below `xinf`: the field's key, and what of the field it leads to, if it is told.
_PATH: Final = re.compile(
    rf"(?<![\w.]){layout.CONTAINER}\.(?:({_KEY}+?)\.({_LEAVES})((?:\.\w+)*)|({_KEY}*[^\W_]))"
)
# A document that an error quotes ends, as we have sent it, with what we added.
_ADDED: Final = re.compile(rf'\s*,?\s*\\*"{layout.CONTAINER}\\*"\s*[:=]\s*\{{.*', re.DOTALL)
# A search that is under way, as tasks show it, says what of a document is not wanted.
_LISTED: Final = re.compile(
    rf'(?<=[\[,])\s*\\*"{layout.CONTAINER}\\*"\s*,|,?\s*\\*"{layout.CONTAINER}\\*"(?=\s*\])'
)
# A target that is quoted says the same, by itself or behind what the caller leaves out.
_IN_TARGET: Final = re.compile(
    rf"(?<=[?&])_source_excludes={layout.CONTAINER}&"
    rf"|[?&]_source_excludes={layout.CONTAINER}(?![\w%,.*&])"
    rf"|(?:%2C|,){layout.CONTAINER}(?=[&\s\]\"]|$)"
)
_UNMAPPED: Final = re.compile(
    rf"Can't find dynamic template for dynamic template name \[{layout.MISSING}\] of field "
    r"\[([^\]]*)\]"
)
# Of a mapping that conflicts below a field, Elasticsearch names the field itself.
_CONFLICT: Final = re.compile(
    rf"(Mapper for \[{layout.CONTAINER}\.[^\]]+)\.{layout.CHUNKS}\.{layout.VECTOR}(?=\] conflicts)"
)
_NATIVE: Final = "inference"  # where Elasticsearch has the chunks of a field, below the field


def hide_in_error(document: Any) -> Any:
    """An error's document with texts that speak of the user's fields only."""
    if isinstance(document, str):
        return hidden_in_text(document)
    if isinstance(document, list):
        return [hide_in_error(one) for one in document]
    if isinstance(document, Mapping):
        return {hidden_in_text(key): hide_in_error(value) for key, value in document.items()}
    return document


def hidden_in_text(text: str) -> str:
    """A text of the upstream's in which fields have the names that Elasticsearch gives them."""
    if layout.CONTAINER not in text and layout.MISSING not in text:
        return text
    text = _LISTED.sub("", _ADDED.sub("", _IN_TARGET.sub("", text)))
    text = _PATH.sub(_native, _CONFLICT.sub(r"\1", text))
    return _UNMAPPED.sub(r"field [\1] is not mapped any more", text)


def _native(match: re.Match[str]) -> str:
    path = layout.path_of(match[1] or match[4])
    if match[2] == layout.CHUNKS:
        return f"{path}.{_NATIVE}.{layout.CHUNKS}{match[3]}"
    return path
