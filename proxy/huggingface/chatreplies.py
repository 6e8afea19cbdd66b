"""Chat models' replies and stream events, turned into those that Elasticsearch sends.

Elasticsearch does not pass a provider's JSON on: it reads the fields it knows and writes them in
its own order. Here a reply is converted as plain dicts, and only one that is not in the ordinary
shape is parsed by declared fields, whose coercions and errors are Elasticsearch's.
Source: OpenAiUnifiedChatCompletionResponseEntity, OpenAiUnifiedStreamingProcessor,
StreamingUnifiedChatCompletionResults.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from proxy.ground.errors import ChatError, ProxyError, XContentParseFailed
from proxy.ground.sse import ServerSentEvent
from proxy.huggingface.replyjson import MAX_OBJECTS, parse_event, read_reply, root_of
from proxy.huggingface.streamerrors import report_of, reported_by, reported_in
from proxy.inference.endpoints import InferenceEndpoint
from proxy.inference.reasoning import known_detail
from proxy.xcontent.document import Document, Node
from proxy.xcontent.objectparser import (
    ARRAY,
    BOOLEAN,
    NUMBER,
    OBJECT,
    STRING,
    Field,
    ObjectParser,
    objects_of,
    parse_object,
    read_int,
    read_plain,
    read_string,
)
from proxy.xcontent.values import MAX_INT, Json

_REQUIRED: Final = ("id", "choices", "model", "object")
_COUNTS: Final = ("completion_tokens", "prompt_tokens", "total_tokens")
_COUNT_DETAILS: Final = {
    "prompt_tokens_details": "cached_tokens",
    "completion_tokens_details": "reasoning_tokens",
}


def parse_chat(data: bytes, *, reasons: bool = False) -> Json:
    """A chat's answer in one piece, as Elasticsearch writes it; `reasons`: with what it thinks.

    Raises: XContentParseFailed for what is no JSON object, else as convert_chunk.
    """
    document = read_reply(data)
    root = root_of(document)
    if root.kind != "START_OBJECT":
        raise XContentParseFailed(
            f"{document.at(root.start)} [chat_completion_chunk] Expected START_OBJECT but was: "
            f"{root.kind}"
        )
    return _converted(document.plain(), data, _Form("message", reasons))


def parse_chat_event(
    event: ServerSentEvent, endpoint: InferenceEndpoint, *, reasons: bool = False
) -> Json:
    """One chunk of a streamed chat, as Elasticsearch writes it; `reasons`: with what it thinks.

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
    return convert_chunk(chunk, event.data.encode(), reasons=reasons)


# Conversion


class _Form(NamedTuple):
    """What a reply is made of: `part` is `delta` or `message`, with reasoning or without."""

    part: str
    reasons: bool


def convert_chunk(chunk: Json, source: bytes, *, reasons: bool = False) -> Json:
    """A provider's chunk as Elasticsearch writes it: known keys, in its order, without nulls.

    More lenient than Elasticsearch: `model` and `object` may be missing, any text may be null.
    Like there, a number may be a text and a list of one object that object.
    Raises: ChatError for a chunk of the wrong shape; `source`, its JSON, tells the place.
    """
    return _converted(chunk, source, _Form("delta", reasons))


def _converted(reply: Json, source: bytes, form: _Form) -> Json:
    if "id" not in reply or "choices" not in reply:
        missing = ", ".join(key for key in _REQUIRED if key not in reply)
        raise ChatError(400, "bad_request", f"Required [{missing}]", "illegal_argument_exception")
    try:
        return _written(reply, form)
    except (KeyError, TypeError):
        return _written(_parsed(source, form), form)


def _written(reply: Json, form: _Form) -> Json:
    """A reply of the ordinary shape, written anew. Raises: KeyError or TypeError for any other."""
    written: Json = {
        "id": _text(reply, "id"),
        "choices": [_choice(choice, form) for choice in _list(reply, "choices")],
        "model": _text(reply, "model") or "",
        "object": _text(reply, "object") or "",
    }
    if reply.get("usage") not in (None, {}):
        usage = _object(reply, "usage")
        written["usage"] = {key: _integer(usage, key) for key in _COUNTS}
        if form.reasons:
            written["usage"] |= _count_details(usage)
    return written


def _choice(choice: Json, form: _Form) -> Json:
    part, message = form.part, _object(choice, form.part)
    converted: Json = {part: _present(message, "content", "refusal", "role")}
    if form.reasons and (thought := _thought(message)) is not None:
        converted[part]["reasoning"] = thought
    if message.get("tool_calls") not in (None, []):
        calls = _list(message, "tool_calls")
        if part == "message":  # in one piece, their order is their index
            calls = [{"index": index, **call} for index, call in enumerate(calls)]
        converted[part]["tool_calls"] = [_tool_call(call) for call in calls]
    if form.reasons and message.get("reasoning_details") not in (None, []):
        details = [known_detail(one) for one in _list(message, "reasoning_details")]
        if known := [one for one in details if one is not None]:
            converted[part]["reasoning_details"] = known
    converted |= _present(choice, "finish_reason")
    converted["index"] = _integer(choice, "index")
    return converted


def _thought(message: Json) -> str | None:
    """What the model thinks, by either of the names that servers have for it."""
    thought = _text(message, "reasoning")
    if thought is None and isinstance(other := message.get("reasoning_content"), str):
        return other or None
    return thought


def _count_details(usage: Json) -> Json:
    """The details of counts that Elasticsearch knows, where there are any."""
    found: Json = {}
    for name, count in _COUNT_DETAILS.items():
        if usage.get(name) is not None:
            details = _object(usage, name)
            if details.get(count) is not None:
                found[name] = {count: _integer(details, count)}
    return found


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
_ANY: Final = OBJECT | ARRAY | NUMBER | BOOLEAN | {"VALUE_NULL"}


def _parser(name: str, fields: dict[str, Field], *required: str) -> ObjectParser:
    return ObjectParser(name, fields, required, lenient=True)


def _message_parser(form: _Form) -> ObjectParser:
    function = _parser("function", {"arguments": _TEXT, "name": _TEXT})
    call = _parser(
        "tool_calls",
        {
            "index": _INTEGER,
            "id": _TEXT,
            "function": Field(OBJECT, function.parse).or_null(),
            "type": _TEXT,
        },
        *(("index",) if form.part == "delta" else ()),
    )
    fields = {
        "content": _TEXT,
        "refusal": _TEXT,
        "role": _TEXT,
        "tool_calls": Field(OBJECT | ARRAY, objects_of(call.parse)).or_null(),
    }
    if form.reasons:
        fields["reasoning"] = _TEXT
        fields["reasoning_content"] = Field(_ANY, read_plain)
        details = objects_of(lambda _, node: node.plain())
        fields["reasoning_details"] = Field(OBJECT | ARRAY, details).or_null()
    return _parser("message_delta", fields)


def _usage_parser(reasons: bool) -> ObjectParser:
    fields = dict.fromkeys(_COUNTS, _INTEGER)
    if reasons:
        for name, count in _COUNT_DETAILS.items():
            details = _parser(name, {count: _INTEGER.or_null()})
            fields[name] = Field(OBJECT, details.parse).or_null()
    return _parser("usage", fields, *_COUNTS)


def _chunk_parser(form: _Form) -> ObjectParser:
    part = form.part
    choice = _parser(
        "choices",
        {
            part: Field(OBJECT, _message_parser(form).parse),
            "finish_reason": _TEXT,
            "index": _INTEGER,
        },
        *(part, "index"),
    )
    usage = _usage_parser(form.reasons)

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


_PARSERS: Final = {
    form: _chunk_parser(form)
    for form in (_Form(part, reasons) for part in ("delta", "message") for reasons in (False, True))
}


def _parsed(source: bytes, form: _Form) -> Json:
    """The known keys in the ordinary shape. Raises: ChatError that says what is wrong, and where.

    Source: ChatCompletionChunkParser.
    """
    try:
        return parse_object(_PARSERS[form], read_reply(source))
    except ProxyError as error:
        raise ChatError(400, "bad_request", error.reason, "x_content_parse_exception") from None
