"""Chats: the body of a request, and the shape of errors.

Source: UnifiedCompletionRequest and UnifiedChatCompletionException of x-pack-core 9.2.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from proxy.ground.errors import (
    ActionRequestInvalid,
    ChatError,
    ChatFailed,
    ProxyError,
    StatusError,
    Unauthorized,
    XContentParseFailed,
)
from proxy.inference.reasoning import REASONING, read_detail
from proxy.xcontent.document import Document, Node
from proxy.xcontent.objectparser import (
    ARRAY,
    NUMBER,
    OBJECT,
    STRING,
    Field,
    Located,
    ObjectParser,
    Read,
    objects_of,
    parse_object,
    read_float,
    read_long,
    read_plain,
    read_string,
)
from proxy.xcontent.values import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """The body of POST _inference/chat_completion/{inference_id}/_stream.

    Messages, tools and tool choice are in the form in which they are sent to the provider.
    """

    messages: list[Json]
    model: str | None = None
    max_completion_tokens: int | None = None
    stop: list[str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    tool_choice: str | Json | None = None
    tools: list[Json] | None = None
    reasoning: Json | None = None


def parse_chat_request(document: Document, *, reasons: bool = False) -> ChatRequest:
    """Read the body of a chat; `reasons`: it may be about what the model thinks.

    Raises: XContentParseFailed or another error at the first problem; ActionRequestInvalid for an
    empty list of messages.
    """
    parser = _REASONING_REQUEST if reasons else _REQUEST
    request = ChatRequest(**parse_object(parser, document))
    if not request.messages:
        raise ActionRequestInvalid(["Field [messages] cannot be an empty array"])
    return request


def _ordered(parser: ObjectParser, *keys: str, always: tuple[str, ...] = ()) -> Read:
    """A reader of objects that sends keys on in this order, null for those in `always`."""

    def read(document: Document, node: Node) -> Json:
        values = parser.parse(document, node)
        return {key: values.get(key) for key in keys if key in values or key in always}

    return read


def _list_of(read: Read) -> Read:
    def read_list(document: Document, node: Node) -> list[Any]:
        items = [read(document, item) for item in node.value]
        document.check_complete(node)
        return items

    return read_list


def _either(scalar: Read, other: Read) -> Read:
    """A reader that reads strings by `scalar` and any other value by `other`."""

    def read(document: Document, node: Node) -> Any:
        return scalar(document, node) if node.kind == "VALUE_STRING" else other(document, node)

    return read


def _scalar_text(document: Document, node: Node) -> str:
    if node.kind in ("VALUE_NULL", "START_OBJECT", "START_ARRAY"):
        reason = f"{document.at(node.start)} expected a text but was: {node.kind}"
        raise Located(XContentParseFailed(reason), node.start)
    return document.text(node)


_TEXT: Final = Field(STRING, read_string)
_CONTENT: Final = _ordered(
    ObjectParser("ContentObject", {"type": _TEXT, "text": _TEXT}, ("text", "type")),
    "text",
    "type",
)
_CALLED_FUNCTION: Final = _ordered(
    ObjectParser(
        "tool_call_function_field", {"name": _TEXT, "arguments": _TEXT}, ("arguments", "name")
    ),
    "arguments",
    "name",
)
_TOOL_CALL: Final = _ordered(
    ObjectParser(
        "ToolCall",
        {"id": _TEXT, "function": Field(OBJECT, _CALLED_FUNCTION), "type": _TEXT},
        ("id", "function", "type"),
    ),
    "id",
    "function",
    "type",
)
_MESSAGE_FIELDS: Final = {
    "content": Field(STRING | ARRAY, _either(read_string, objects_of(_CONTENT))),
    "role": _TEXT,
    "tool_call_id": _TEXT,
    "tool_calls": Field(OBJECT | ARRAY, objects_of(_TOOL_CALL)),
}
_REASONING_MESSAGE_FIELDS: Final = {
    **_MESSAGE_FIELDS,
    "reasoning": _TEXT,
    "reasoning_details": Field(OBJECT | ARRAY, objects_of(read_detail)),
}


def _message(fields: Mapping[str, Field]) -> Field:
    read = _ordered(ObjectParser("Message", fields, ("role",)), *fields)
    return Field(OBJECT | ARRAY, objects_of(read))


_TOOL_CHOICE: Final = _ordered(
    ObjectParser(
        "ToolChoiceObject",
        {
            "type": _TEXT,
            "function": Field(
                OBJECT, ObjectParser("tool_choice_function_field", {"name": _TEXT}, ("name",)).parse
            ),
        },
        ("type", "function"),
    ),
    "type",
    "function",
)
_BOOLEAN: Final = Field(frozenset({"VALUE_BOOLEAN"}), read_plain)
_DECLARED_FUNCTION: Final = _ordered(
    ObjectParser(
        "tool_function_field",
        {
            "description": _TEXT,
            "name": _TEXT,
            "parameters": Field(OBJECT, read_plain),
            "strict": _BOOLEAN,
        },
        ("name",),
    ),
    "description",
    "name",
    "parameters",
    "strict",
    always=("description", "parameters"),
)
_TOOL: Final = _ordered(
    ObjectParser(
        "Tool", {"type": _TEXT, "function": Field(OBJECT, _DECLARED_FUNCTION)}, ("type", "function")
    ),
    "type",
    "function",
)
_FIELDS: Final = {
    "messages": _message(_MESSAGE_FIELDS),
    "model": _TEXT,
    "max_completion_tokens": Field(NUMBER, read_long),
    "stop": Field(
        STRING | ARRAY,
        _either(lambda document, node: [document.text(node)], _list_of(_scalar_text)),
    ),
    "temperature": Field(NUMBER, read_float),
    "tool_choice": Field(STRING | OBJECT, _either(read_string, _TOOL_CHOICE)),
    "tools": Field(OBJECT | ARRAY, objects_of(_TOOL)),
    "top_p": Field(NUMBER, read_float),
}
_REQUEST: Final = ObjectParser("UnifiedCompletionRequest", _FIELDS, ("messages",))
_REASONING_REQUEST: Final = ObjectParser(
    "UnifiedCompletionRequest",
    {**_FIELDS, "messages": _message(_REASONING_MESSAGE_FIELDS), "reasoning": REASONING},
    ("messages",),
)


def only_streaming() -> ProxyError:
    """The error for a chat without `_stream`, in releases that only stream."""
    return StatusError(
        400,
        "The [chat_completion] task type only supports streaming, please try again with the "
        "_stream API",
    )


def as_streamed_chat_error(error: ProxyError) -> ProxyError:
    """The error in the shape of a streamed chat; the usual one for 403 and an invalid request."""
    if isinstance(error, ActionRequestInvalid | Unauthorized | ChatError):
        return error
    code = status_name(error.status)
    return ChatError(error.status, code, error.reason, error.type).advised(error.advice)


def as_unstreamed_chat_error(error: ProxyError) -> ProxyError:
    """The error in the shape of a chat without `_stream`; the exceptions are the same."""
    if isinstance(error, ActionRequestInvalid | Unauthorized):
        return error
    return ChatFailed(error)


def status_name(status: int) -> str:
    """The lower-case name that Elasticsearch's RestStatus has for a status."""
    if status in _STATUS_NAMES:
        return _STATUS_NAMES[status]
    return HTTPStatus(status).name.lower()


# Where the names of Python's versions differ from each other.
_STATUS_NAMES: Final = {
    407: "proxy_authentication",
    413: "request_entity_too_large",
    414: "request_uri_too_long",
    416: "requested_range_not_satisfied",
    422: "unprocessable_entity",
}
