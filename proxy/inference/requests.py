"""The body of an inference request, except for chats.

Source: InferenceAction.Request of x-pack-core 9.2.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import orjson

from proxy.ground.errors import ActionRequestInvalid, Cause, IllegalArgument, ValidationFailed
from proxy.inference.endpoints import TaskType
from proxy.inference.releases import Profile
from proxy.xcontent.document import Document, Node
from proxy.xcontent.objectparser import (
    ARRAY,
    BOOLEAN,
    NUMBER,
    OBJECT,
    STRING,
    BadValue,
    Field,
    Located,
    ObjectParser,
    parse_object,
    read_boolean,
    read_int,
    read_plain,
    read_string,
)
from proxy.xcontent.times import parse_time
from proxy.xcontent.values import Json

_INPUT_TYPES: Final = ("ingest", "search", "classification", "clustering", "unspecified")
_SHORT: Final = 64 * 1024  # bytes of a body: what is made of it takes some two megabytes at most
_TEXT_TYPES: Final = {str}
_NOTHING: Final = (None, None, None, None)
_INTERNAL_INPUT_TYPES: Final = ("internal_search", "internal_ingest")


# Not frozen, as that costs most of a microsecond for each request.
@dataclass(slots=True, kw_only=True)
class InferenceRequest:
    """The body of POST _inference/{task_type}/{inference_id}."""

    input: list[str] | None = None
    query: str | None = None
    return_documents: bool | None = None
    top_n: int | None = None
    input_type: str | None = None
    task_settings: Json | None = None

    def validate(self, task_type: TaskType, profile: Profile) -> None:
        """Check the fields for the task type in the path; with `ANY`, only what all tasks need.

        Raises: ActionRequestInvalid with the first problem.
        """
        if problem := self._problem(task_type, profile):
            raise ActionRequestInvalid([problem])

    def _problem(self, task: TaskType, profile: Profile) -> str | None:
        if self.input is None:
            return "Field [input] cannot be null"
        if not self.input:
            return "Field [input] cannot be an empty array"
        if task is TaskType.RERANK and not self.query:
            what = "null" if self.query is None else "empty"
            return f"Field [query] cannot be {what} for task type [{task}]"
        if (self.return_documents, self.top_n, self.query, self.input_type) == _NOTHING:
            return None
        return self._misplaced(task, profile)

    def _misplaced(self, task: TaskType, profile: Profile) -> str | None:
        no_query: tuple[TaskType, ...] = ()
        if profile.embeddings_refuse_query:
            no_query = (TaskType.TEXT_EMBEDDING, TaskType.SPARSE_EMBEDDING)
        rules = (
            ("return_documents", self.return_documents, (TaskType.RERANK, TaskType.ANY)),
            ("top_n", self.top_n, (TaskType.RERANK, TaskType.ANY)),
            ("query", self.query, tuple(task for task in TaskType if task not in no_query)),
            (
                "input_type",
                None if self.input_type == "unspecified" else self.input_type,
                (TaskType.TEXT_EMBEDDING, TaskType.ANY),
            ),
        )
        for name, value, allowed in rules:
            if value is not None and task not in allowed:
                return f"Field [{name}] cannot be specified for task type [{task}]"
        return None


def parse_inference_request(document: Document) -> InferenceRequest:
    """Read the body of an inference. Raises: XContentParseFailed at the first problem."""
    values = parse_object(_REQUEST, document)
    values.pop("timeout", None)  # only checked: the query parameter `timeout` is what counts
    return InferenceRequest(**values)


def plain_request(data: bytes) -> InferenceRequest | None:
    """The request in JSON that has texts as `input` and nothing else, as most have; else None.

    It says what `parse_inference_request` says, which reads by token, some ten times as long. What
    this does not see is left to it: other fields, a name that is repeated or written with escapes,
    what is JSON for Elasticsearch alone, and long bodies, of which the parser counts the values
    while it reads.
    """
    if len(data) > _SHORT or data.count(b'"input"') != 1 or rb"\u00" in data:
        return None
    try:
        values = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(values, dict) or len(values) != 1:
        return None
    given = values.get("input")
    if isinstance(given, str):
        return InferenceRequest(input=[given])
    if not isinstance(given, list) or not _TEXT_TYPES.issuperset(map(type, given)):
        return None
    return InferenceRequest(input=given)


def _read_input(document: Document, node: Node) -> list[str]:
    items = node.value if node.kind == "START_ARRAY" else [node]
    for item in items:
        if item.kind in ("VALUE_NULL", "START_OBJECT", "START_ARRAY"):
            raise _not_a_text(document, item)
    document.check_complete(node)
    return [document.text(item) for item in items]


def _not_a_text(document: Document, item: Node) -> BadValue | Located:
    if item.kind == "START_ARRAY":
        cause = Cause("illegal_state_exception", "expected value but got [START_ARRAY]")
        return BadValue(cause, item.start)
    line, column = document.position(item.start)
    error = IllegalArgument(f"Expected text at {line}:{column} but found {item.kind}")
    return Located(error, item.start)


def _read_input_type(document: Document, node: Node) -> str:
    text = document.text(node).strip().lower()
    if text in _INTERNAL_INPUT_TYPES:
        raise IllegalArgument(f"Unrecognized input_type [{text}]")
    if text not in _INPUT_TYPES:
        name = f"org.elasticsearch.inference.InputType.{text.upper()}"
        raise IllegalArgument(f"No enum constant {name}")
    return text


def _read_timeout(document: Document, node: Node) -> None:
    parse_time(document.text(node), "timeout")


_REQUEST: Final = ObjectParser(
    "cluster:internal/xpack/inference",
    {
        "input": Field(STRING | ARRAY, _read_input),
        "query": Field(STRING, read_string),
        "return_documents": Field(BOOLEAN, read_boolean),
        "top_n": Field(NUMBER, read_int),
        "input_type": Field(STRING, _read_input_type),
        "task_settings": Field(OBJECT, read_plain),
        "timeout": Field(STRING, _read_timeout),
    },
)


def refuse_input_type(input_type: str | None) -> None:
    """Raises: ValidationFailed for any input type, as for an endpoint that knows none."""
    if input_type not in (None, "unspecified"):
        raise ValidationFailed(
            [
                f"Invalid input_type [{input_type}]. "
                "The input_type option is not supported by this service"
            ]
        )
