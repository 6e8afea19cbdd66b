"""Chat models' replies and stream events, turned into those that Elasticsearch sends.

Elasticsearch does not pass a provider's JSON on: it reads the fields it knows and writes them in
its own order. Here a reply is converted as plain dicts, and only one that is not in the ordinary
shape is parsed by declared fields, whose coercions and errors are Elasticsearch's.
Source: OpenAiUnifiedChatCompletionResponseEntity, OpenAiUnifiedStreamingProcessor,
StreamingUnifiedChatCompletionResults.
"""

from __future__ import annotations

from typing import Final

from proxy.ground.errors import ChatError, ProxyError, XContentParseFailed
from proxy.ground.sse import ServerSentEvent
from proxy.huggingface.replyjson import MAX_OBJECTS, parse_event, read_reply, root_of
from proxy.huggingface.streamerrors import report_of, reported_by, reported_in
from proxy.inference.endpoints import InferenceEndpoint
from proxy.xcontent.document import Document, Node
from proxy.xcontent.objectparser import (
    ARRAY,
    NUMBER,
    OBJECT,
    STRING,
    Field,
    ObjectParser,
    objects_of,
    parse_object,
    read_int,
    read_string,
)
from proxy.xcontent.values import MAX_INT, Json

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


def parse_chat_event(event: ServerSentEvent, endpoint: InferenceEndpoint) -> Json:
    """One chunk of a streamed chat, as Elasticsearch writes it.

    Raises: ChatError for an event that is no chunk, or in which the provider reports an error.
    """
    if (reported := reported_by(event)) is not None:
        raise report_of(endpoint, reported)
    try:
        chunk = parse_event(event)
    except ProxyError as error:
        raise ChatError(400, "bad_request", error.reason, error.type) from None
    if (reported := reported_in(chunk, event.event)) is not None:
        raise report_of(endpoint, reported)
    return convert_chunk(chunk, event.data.encode())


# Conversion


def convert_chunk(chunk: Json, source: bytes) -> Json:
    """A provider's chunk as Elasticsearch writes it: known keys, in its order, without nulls.

    More lenient than Elasticsearch: `model` and `object` may be missing, any text may be null.
    Like there, a number may be a text and a list of one object that object.
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
        return _written(reply, part)
    except (KeyError, TypeError):
        return _written(_parsed(source, part), part)


def _written(reply: Json, part: str) -> Json:
    """A reply of the ordinary shape, written anew. Raises: KeyError or TypeError for any other."""
    written: Json = {
        "id": _text(reply, "id"),
        "choices": [_choice(choice, part) for choice in _list(reply, "choices")],
        "model": _text(reply, "model") or "",
        "object": _text(reply, "object") or "",
    }
    if reply.get("usage") not in (None, {}):
        usage = _object(reply, "usage")
        written["usage"] = {key: _integer(usage, key) for key in _COUNTS}
    return written


def _choice(choice: Json, part: str) -> Json:
    message = _object(choice, part)
    converted: Json = {part: _present(message, "content", "refusal", "role")}
    if message.get("tool_calls") not in (None, []):
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
    if not isinstance(value, list):
        raise TypeError(name)
    if len(value) > MAX_OBJECTS:
        reason = f"[{name}] holds more than [{MAX_OBJECTS}] objects"
        raise ChatError(400, "bad_request", reason, "x_content_parse_exception")
    if not all(isinstance(item, dict) for item in value):
        raise TypeError(name)
    return value


def _integer(values: Json, name: str) -> int:
    value = values[name]
    if type(value) is not int or not -MAX_INT - 1 <= value <= MAX_INT:
        raise TypeError(name)
    return value


# Whatever is not in the ordinary shape: read by Elasticsearch's rules, or refused in its words.

_TEXT: Final = Field(STRING, read_string).or_null()
_INTEGER: Final = Field(NUMBER, read_int)


def _parser(name: str, fields: dict[str, Field], *required: str) -> ObjectParser:
    return ObjectParser(name, fields, required, lenient=True)


def _chunk_parser(part: str) -> ObjectParser:
    function = _parser("function", {"arguments": _TEXT, "name": _TEXT})
    call = _parser(
        "tool_calls",
        {
            "index": _INTEGER,
            "id": _TEXT,
            "function": Field(OBJECT, function.parse).or_null(),
            "type": _TEXT,
        },
        *(("index",) if part == "delta" else ()),
    )
    message = _parser(
        "message_delta",
        {
            "content": _TEXT,
            "refusal": _TEXT,
            "role": _TEXT,
            "tool_calls": Field(OBJECT | ARRAY, objects_of(call.parse)).or_null(),
        },
    )
    choice = _parser(
        "choices",
        {part: Field(OBJECT, message.parse), "finish_reason": _TEXT, "index": _INTEGER},
        *(part, "index"),
    )
    usage = _parser("usage", dict.fromkeys(_COUNTS, _INTEGER), *_COUNTS)

    def counts(document: Document, node: Node) -> Json | None:
        return usage.parse(document, node) if node.value else None

    return _parser(
        "chat_completion_chunk",
        {
            "id": _TEXT,
            "choices": Field(OBJECT | ARRAY, objects_of(choice.parse)),
            "model": _TEXT,
            "object": _TEXT,
            "usage": Field(OBJECT, counts).or_null(),
        },
    )


_PARSERS: Final = {part: _chunk_parser(part) for part in ("delta", "message")}


def _parsed(source: bytes, part: str) -> Json:
    """The known keys in the ordinary shape. Raises: ChatError that says what is wrong, and where.

    Source: ChatCompletionChunkParser.
    """
    try:
        return parse_object(_PARSERS[part], read_reply(source))
    except ProxyError as error:
        raise ChatError(400, "bad_request", error.reason, "x_content_parse_exception") from None
