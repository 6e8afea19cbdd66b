"""Results out of what providers answer, chat apart. Pure functions on bytes and events.

All raise ParsingFailed, XContentParseFailed or UnreadableReply for a reply of another shape.
Source: HuggingFaceEmbeddingsResponseEntity, HuggingFaceElserResponseEntity,
HuggingFaceRerankResponseEntity, OpenAiChatCompletionResponseEntity, OpenAiStreamingProcessor.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import hypot
from typing import Final

import orjson

from proxy.ground.errors import Cause, ParsingFailed, UnreadableReply, XContentParseFailed
from proxy.ground.sse import ServerSentEvent
from proxy.huggingface.replyjson import (
    MAX_OBJECTS,
    expect,
    items_of,
    parse_event,
    parse_fields,
    read_reply,
    root_of,
)
from proxy.huggingface.streamerrors import report_of, reported_by, reported_in
from proxy.inference.endpoints import InferenceEndpoint
from proxy.inference.results import RankedDocument, SparseVector
from proxy.xcontent.document import Document, Node
from proxy.xcontent.numbers import Numbers
from proxy.xcontent.objectparser import (
    ARRAY,
    NUMBER,
    OBJECT,
    STRING,
    Field,
    ObjectParser,
    objects_of,
    read_float,
    read_int,
    read_string,
)

# The least number that is rounded to infinity: the largest float is often written as 3.4028235e38,
# which is more than it is.
_INFINITE: Final = 2.0**128 - 2.0**103
_NUMBER_TYPES: Final = {float, int}
_CONTENT_TYPES: Final = {str, type(None)}
_OF_NUMBERS: Final = b"[0123456789+-.eE,]"
_OF_DECIMALS: Final = b"0123456789-"  # of fractions without exponents, besides a point in each
_SPACE: Final = b" \t\r\n"
_MAX_VECTOR: Final = 512 * 1024  # bytes of JSON; 20,000 numbers, of which models have some thousand
_BETWEEN: Final = re.compile(rb"[ \t\r\n]*,[ \t\r\n]*")
_BLANKS: Final = re.compile(rb"[ \t\r\n]*")


# Embeddings


def parse_embeddings(data: bytes) -> list[Numbers]:
    """The vectors of `[[…]]` or `{"embeddings": [[…]]}`, in the reply's order."""
    vectors = flawless_embeddings(data)
    if vectors is None:
        vectors = [Numbers.of(_floats(vector)) for vector in _vectors_by_token(read_reply(data))]
    return vectors


def flawless_embeddings(data: bytes) -> list[Numbers] | None:
    """The same of a flawless reply, fast, one vector after the other; None for any other.

    What the provider has written is kept as it is.
    """
    key = data.find(b'"embeddings"') if data.lstrip()[:1] == b"{" else 0
    start = data.find(b"[", max(key, 0))
    try:
        vectors, end = _vectors_at(data, start)
        frame = orjson.loads(data[:start] + b"0" + data[end:])
    except (orjson.JSONDecodeError, _Flawed):
        return None
    found = frame.get("embeddings") if isinstance(frame, dict) else frame
    return vectors if found == 0 else None


class _Flawed(Exception):
    """A reply that has to be read by token."""


def _vectors_at(data: bytes, start: int) -> tuple[list[Numbers], int]:
    """The vectors of the array at `start`, and where it ends. Raises: _Flawed, JSONDecodeError."""
    vectors = []
    at = _behind(_BLANKS, data, start + 1)
    while data[at : at + 1] == b"[":
        end = data.find(b"]", at, at + _MAX_VECTOR) + 1
        if not end:
            raise _Flawed
        vectors.append(_numbers(data[at:end]))
        if data.startswith(b",[", end):  # as most are written
            at = end + 1
            continue
        between = _BETWEEN.match(data, end)
        if between is None:
            at = _behind(_BLANKS, data, end)
            break
        at = between.end()
        if data[at : at + 1] != b"[":
            raise _Flawed
    if start < 0 or data[at : at + 1] != b"]":
        raise _Flawed
    return vectors, at + 1


def _numbers(text: bytes) -> Numbers:
    """An array. Raises: _Flawed, JSONDecodeError; UnreadableReply as `_check_range`."""
    vector = orjson.loads(text)
    if b" " in text:  # as many write it: between numbers, or what follows finds more than numbers
        text = text.translate(None, _SPACE)
    points = b"[%b.]" % (b".," * (len(vector) - 1))
    is_decimal = text.translate(None, _OF_DECIMALS) == points  # as most are
    if not is_decimal and (left := text.translate(None, _OF_NUMBERS)):
        text = text.translate(None, _SPACE)
        if left.strip(_SPACE) and not _NUMBER_TYPES.issuperset(map(type, vector)):
            raise _Flawed
    # Its length is no less than any number in it, and found faster than the largest one.
    if hypot(*vector) >= _INFINITE:
        _check_range(vector)
    if not is_decimal and text.count(b".") != len(vector):
        text = b"[%b]" % b",".join(map(_as_float, text[1:-1].split(b",")))
    return Numbers(text, len(vector))


def _as_float(number: bytes) -> bytes:
    is_integer = number.lstrip(b"-").isdigit()
    return number + b".0" if is_integer else number


def _behind(pattern: re.Pattern[bytes], data: bytes, at: int) -> int:
    found = pattern.match(data, at)
    return at if found is None else found.end()


def _vectors_by_token(document: Document) -> list[list[float]]:
    """The vectors as Elasticsearch finds them, or its error with the place of the problem."""
    root = root_of(document)
    if root.kind == "START_OBJECT":
        found = root.value.get("embeddings")
        if found is None:
            raise document.error or _missing("embeddings", "Hugging Face embeddings")
        root = found
    elif root.kind != "START_ARRAY":
        problem = f"Failed to parse object: unexpected token [{root.kind}] found"
        raise ParsingFailed(problem, *document.position(root.start))
    vectors = []
    for vector in items_of(document, root):
        numbers = []
        for number in items_of(document, vector):
            expect(document, number, "VALUE_NUMBER")
            numbers.append(number.value)
        vectors.append(numbers)
    return vectors


def _floats(vector: Sequence[float]) -> list[float]:
    """The vector as floats. Raises: UnreadableReply for a number beyond a 32-bit float."""
    _check_range(vector)
    return [float(number) for number in vector]


def _check_range(vector: Sequence[float]) -> None:
    if vector and (max(vector) >= _INFINITE or min(vector) <= -_INFINITE):
        problem = "a number is out of range for a 32-bit float"
        raise UnreadableReply(Cause("illegal_argument_exception", problem))


def parse_sparse(data: bytes, truncated: Sequence[bool]) -> list[SparseVector]:
    """The token weights of `[{"token": weight}, …]`; `truncated` tells which inputs were cut."""
    document = read_reply(data)
    vectors = []
    for number, item in enumerate(items_of(document, root_of(document))):
        expect(document, item, "START_OBJECT")
        for weight in item.value.values():
            expect(document, weight, "VALUE_NUMBER")
        weights = _floats([weight.value for weight in item.value.values()])
        tokens = dict(zip(item.value, weights, strict=True))
        vectors.append(SparseVector(tokens, number < len(truncated) and truncated[number]))
    return vectors


# Rerank

_RANKED: Final = ObjectParser(
    "hugging_face_rerank_response",
    {
        "index": Field(NUMBER, read_int),
        "score": Field(NUMBER, read_float),
        "text": Field(STRING, read_string),
    },
    ("index", "score"),
    lenient=True,
)


def parse_rerank(data: bytes, count: int) -> list[RankedDocument]:
    """The documents of `[{"index", "score", "text"?}, …]`, in the reply's order.

    Raises: UnreadableReply for an index outside the `count` texts sent, too, and as `_check_range`.
    """
    document = read_reply(data)
    ranked = []
    for item in items_of(document, root_of(document)):
        expect(document, item, "START_OBJECT")
        values = parse_fields(_RANKED, document, item)
        if not 0 <= values["index"] < count:
            problem = f"an index is outside the [{count}] documents sent"
            raise UnreadableReply(Cause("illegal_argument_exception", problem))
        _check_range([values["score"]])
        ranked.append(RankedDocument(values["index"], values["score"], values.get("text")))
    return ranked


# Completions

_MESSAGE: Final = ObjectParser(
    "Message", {"content": Field(STRING, read_string)}, ("content",), lenient=True
)
_CHOICE: Final = ObjectParser(
    "Choice", {"message": Field(OBJECT, _MESSAGE.parse)}, ("message",), lenient=True
)
_COMPLETION: Final = ObjectParser(
    "CompletionResult",
    {"choices": Field(OBJECT | ARRAY, objects_of(_CHOICE.parse))},
    ("choices",),
    lenient=True,
)


def parse_completion(data: bytes) -> list[str]:
    """The text of each choice of a chat completion."""
    document = read_reply(data)
    values = parse_fields(_COMPLETION, document, root_of(document))
    _refuse_too_many(values["choices"])
    return [choice["message"]["content"] for choice in values["choices"]]


def parse_completion_event(event: ServerSentEvent, endpoint: InferenceEndpoint) -> list[str]:
    """The deltas of one event of a streamed completion, without those that are null or empty.

    Raises: StatusError for an event in which the provider reports an error, too.
    """
    if (reported := reported_by(event)) is not None:
        raise report_of(endpoint, reported)
    chunk = parse_event(event)
    if (reported := reported_in(chunk, event.event)) is not None:
        raise report_of(endpoint, reported)
    try:
        contents = [choice["delta"].get("content") for choice in chunk["choices"]]
    except (KeyError, TypeError, AttributeError):
        contents = None
    if contents is not None:
        _refuse_too_many(contents)
    if contents is None or not _CONTENT_TYPES.issuperset(map(type, contents)):
        contents = _deltas_by_token(read_reply(event.data.encode()))
    return [content for content in contents if content]


def _deltas_by_token(document: Document) -> list[str | None]:
    """The deltas as Elasticsearch finds them, or its error with the place of the problem."""
    contents: list[str | None] = []
    choices = _required(root_of(document), "choices")
    lone = choices.kind == "START_OBJECT"
    for choice in [choices] if lone else items_of(document, choices):
        delta = _required(choice, "delta")
        expect(document, delta, "START_OBJECT")
        content = delta.value.get("content")
        if content is not None and content.kind != "VALUE_NULL":
            expect(document, content, "VALUE_STRING")
            contents.append(content.value)
    _refuse_too_many(contents)
    return contents


def _refuse_too_many(choices: Sequence[object]) -> None:
    if len(choices) > MAX_OBJECTS:
        raise XContentParseFailed(f"[choices] holds more than [{MAX_OBJECTS}] objects")


def _required(node: Node, name: str) -> Node:
    found: Node | None = node.value.get(name) if node.kind == "START_OBJECT" else None
    if found is None:
        raise _missing(name, "OpenAI chat completions")
    return found


def _missing(name: str, what: str) -> UnreadableReply:
    problem = f"Failed to find required field [{name}] in {what} response"
    return UnreadableReply(Cause("illegal_state_exception", problem))
