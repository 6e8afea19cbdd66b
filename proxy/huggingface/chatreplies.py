"""Chat models' replies and stream events, turned into those that Elasticsearch sends.

Elasticsearch does not pass a provider's JSON on: it reads the fields it knows and writes them in
its own order. Here a reply is converted as plain dicts, and only one of the wrong shape is parsed
again, for an error that says where.
Source: OpenAiUnifiedChatCompletionResponseEntity, OpenAiUnifiedStreamingProcessor,
StreamingUnifiedChatCompletionResults.
"""

from __future__ import annotations

from typing import Any, Final

from proxy.errors import ChatError, ProxyError, XContentParseFailed
from proxy.huggingface.redaction import shown_text
from proxy.huggingface.replyjson import parse_event, read_reply, root_of
from proxy.inference.endpoints import InferenceEndpoint
from proxy.inference.releases import Profile
from proxy.sse import ServerSentEvent
from proxy.xcontent.document import Document, Node
from proxy.xcontent.objectparser import (
    ARRAY,
    OBJECT,
    STRING,
    Field,
    ObjectParser,
    parse_object,
    read_int,
)
from proxy.xcontent.values import Json

_REQUIRED: Final = ("id", "choices", "model", "object")
_COUNTS: Final = ("completion_tokens", "prompt_tokens", "total_tokens")


def parse_chat(data: bytes) -> Json:
    """A chat's answer in one piece, as Elasticsearch writes it.

    Raises: XContentParseFailed for what is no JSON object, else as convert_chunk.
    """
    document = read_reply(data)
    root = root_of(document)
    if root.kind != "START_OBJECT":
        raise XContentParseFailed(
            f"{document.at(root.start)} [chat_completion_chunk] Expected START_OBJECT but was: "
            f"{root.kind}"
        )
    return convert_reply(document.plain(), data)


def parse_chat_event(event: ServerSentEvent, endpoint: InferenceEndpoint, profile: Profile) -> Json:
    """One chunk of a streamed chat, as Elasticsearch writes it.

    Raises: ChatError for an event that is no chunk, or in which the provider reports an error.
    """
    prefix = (
        f"Received an error response for request from inference entity id [{endpoint.inference_id}]"
    )
    try:
        chunk = parse_event(event)
    except ProxyError as error:
        if event.event == "error":
            raise ChatError(400, "stream_error", prefix, profile.chat_error_type) from None
        raise ChatError(400, "bad_request", error.reason, error.type) from None
    if (reported := _reported_error(chunk, event.event)) is not None:
        text, code = reported
        reason = f"{prefix}. Error message: [{shown_text(text, endpoint)}]"
        raise ChatError(400, code, reason, "hugging_face_error")
    return convert_chunk(chunk, event.data.encode())


def _reported_error(chunk: Json, event: str) -> tuple[str, str | None] | None:
    """Text and code of the error that the provider reports inside a stream, if it does."""
    error = chunk.get("error")
    if isinstance(error, str):
        return error, None
    if not isinstance(error, dict):
        return ("unknown", None) if event == "error" else None
    message, code = error.get("message"), error.get("http_status_code")
    return (
        message if isinstance(message, str) else "unknown",
        str(code) if type(code) is int else None,
    )


# Conversion


def convert_chunk(chunk: Json, source: bytes) -> Json:
    """A provider's chunk as Elasticsearch writes it: known keys, in its order, without nulls.

    More lenient than Elasticsearch: `model` and `object` may be missing, any text may be null.
    Raises: ChatError for a chunk of the wrong shape; `source`, its JSON, tells the place.
    """
    return _converted(chunk, source, "delta")


def convert_reply(reply: Json, source: bytes) -> Json:
    """The same for a reply in one piece, where each choice has a `message` for its `delta`."""
    return _converted(reply, source, "message")


def _converted(reply: Json, source: bytes, part: str) -> Json:
    if "id" not in reply or "choices" not in reply:
        missing = ", ".join(key for key in _REQUIRED if key not in reply)
        raise ChatError(400, "bad_request", f"Required [{missing}]", "illegal_argument_exception")
    try:
        converted: Json = {
            "id": _text(reply, "id"),
            "choices": [_choice(choice, part) for choice in _list(reply, "choices")],
            "model": _text(reply, "model") or "",
            "object": _text(reply, "object") or "",
        }
        if reply.get("usage") is not None:
            usage = _object(reply, "usage")
            converted["usage"] = {key: _integer(usage, key) for key in _COUNTS}
    except (KeyError, TypeError) as error:
        raise _wrong_shape(source, part, error.args[0]) from None
    return converted


def _choice(choice: Json, part: str) -> Json:
    message = _object(choice, part)
    converted: Json = {part: _present(message, "content", "refusal", "role")}
    if message.get("tool_calls") is not None:
        calls = _list(message, "tool_calls")
        if part == "message":  # in one piece, their order is their index
            calls = [{"index": index, **call} for index, call in enumerate(calls)]
        converted[part]["tool_calls"] = [_tool_call(call) for call in calls]
    converted |= _present(choice, "finish_reason")
    converted["index"] = _integer(choice, "index")
    return converted


def _tool_call(call: Json) -> Json:
    converted: Json = {"index": _integer(call, "index"), **_present(call, "id")}
    if call.get("function") is not None:
        converted["function"] = _present(_object(call, "function"), "arguments", "name")
    converted["type"] = _text(call, "type")
    return converted


def _present(values: Json, *names: str) -> Json:
    texts = ((name, _text(values, name)) for name in names)
    return {name: text for name, text in texts if text is not None}


def _text(values: Json, name: str) -> str | None:
    value = values.get(name)
    if not isinstance(value, str | None):
        raise TypeError(name)
    return value


def _object(values: Json, name: str) -> Json:
    value = values[name]
    if not isinstance(value, dict):
        raise TypeError(name)
    return value


def _list(values: Json, name: str) -> list[Json]:
    value = values[name]
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise TypeError(name)
    return value


def _integer(values: Json, name: str) -> int:
    value = values[name]
    if type(value) is not int:
        raise TypeError(name)
    return value


# Errors: what is wrong with a chunk, and where. Only used once something is.

_NULL: Final = frozenset({"VALUE_NULL"})
_INTEGER: Final = Field(frozenset({"VALUE_NUMBER"}), read_int)


def _ignore(document: Document, node: Node) -> None:
    """Only the kind of the value is checked."""


_TEXT: Final = Field(STRING | _NULL, _ignore)


def _parser(name: str, fields: dict[str, Field], *required: str) -> ObjectParser:
    return ObjectParser(name, fields, required, lenient=True)


def _optional(parser: ObjectParser) -> Field:
    def read(document: Document, node: Node) -> Any:
        return None if node.kind == "VALUE_NULL" else parser.parse(document, node)

    return Field(OBJECT | _NULL, read)


def _list_of(parser: ObjectParser) -> Field:
    def read(document: Document, node: Node) -> None:
        for item in node.value if node.kind == "START_ARRAY" else ():
            parser.parse(document, item)

    return Field(ARRAY | _NULL, read)


def _chunk_parser(part: str) -> ObjectParser:
    function = _parser("function", {"arguments": _TEXT, "name": _TEXT})
    call = _parser(
        "tool_calls",
        {"index": _INTEGER, "id": _TEXT, "function": _optional(function), "type": _TEXT},
        *(("index",) if part == "delta" else ()),
    )
    message = _parser(
        "message_delta",
        {"content": _TEXT, "refusal": _TEXT, "role": _TEXT, "tool_calls": _list_of(call)},
    )
    choice = _parser(
        "choices",
        {part: Field(OBJECT, message.parse), "finish_reason": _TEXT, "index": _INTEGER},
        *(part, "index"),
    )
    usage = _parser("usage", dict.fromkeys(_COUNTS, _INTEGER), *_COUNTS)
    return _parser(
        "chat_completion_chunk",
        {
            "id": _TEXT,
            "choices": Field(ARRAY, _list_of(choice).read),
            "model": _TEXT,
            "object": _TEXT,
            "usage": _optional(usage),
        },
    )


_PARSERS: Final = {part: _chunk_parser(part) for part in ("delta", "message")}


def _wrong_shape(source: bytes, part: str, name: str) -> ChatError:
    reason = f"[1:1] [chat_completion_chunk] failed to parse field [{name}]"
    try:
        parse_object(_PARSERS[part], read_reply(source))
    except ProxyError as error:
        reason = error.reason
    return ChatError(400, "bad_request", reason, "x_content_parse_exception")
