"""What providers answer: results out of good replies, Elasticsearch's errors out of bad ones.

Pure functions on bytes. A reply of the wrong shape is a `parsing_exception` that names the place;
a reply that cannot be read at all has the error of its parser.
Source: HuggingFace*ResponseEntity, OpenAiStreamingProcessor, OpenAiUnifiedStreamingProcessor.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import orjson

from proxy.chat import ChatError
from proxy.chunks import convert_chunk, convert_reply
from proxy.compatibility import DEFAULT, Profile
from proxy.endpoints import InferenceEndpoint
from proxy.errors import (
    Cause,
    ParsingFailed,
    ProxyError,
    StatusError,
    XContentParseFailed,
)
from proxy.failures import shown_text
from proxy.inference import RankedDocument, SparseVector
from proxy.jsonreader import parse_json
from proxy.sse import ServerSentEvent
from proxy.validation import (
    ARRAY,
    NUMBER,
    OBJECT,
    STRING,
    Field,
    Json,
    Located,
    ObjectParser,
    read_float,
    read_int,
    read_string,
)
from proxy.xcontent import Document, Node

_FLOAT_MAX: Final = 3.4028234663852886e38
_NUMBER_TYPES: Final = {float, int}


# Good replies


def parse_embeddings(data: bytes) -> list[list[float]]:
    """The vectors of `[[…]]` or `{"embeddings": [[…]]}`, in reply order.

    Raises: ParsingFailed, Cause or XContentParseFailed for anything else.
    """
    vectors = _plain_vectors(data)
    if vectors is None:
        vectors = _walk_vectors(_read(data))
    return [_floats(vector) for vector in vectors]


def _plain_vectors(data: bytes) -> list[list[float]] | None:
    """The fast way for good replies; None when there is something to say about the reply."""
    try:
        reply = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    vectors = reply.get("embeddings") if isinstance(reply, dict) else reply
    if not isinstance(vectors, list):
        return None
    for vector in vectors:
        if not isinstance(vector, list) or not _NUMBER_TYPES.issuperset(map(type, vector)):
            return None
    return vectors


def _walk_vectors(document: Document) -> list[list[float]]:
    """The careful way, token by token."""
    root = _root(document)
    if root.kind == "START_OBJECT":
        found = root.value.get("embeddings")
        if found is None:
            name = "Failed to find required field [embeddings] in Hugging Face embeddings response"
            raise document.error or Cause("illegal_state_exception", name)
        root = found
    elif root.kind != "START_ARRAY":
        problem = f"Failed to parse object: unexpected token [{root.kind}] found"
        raise ParsingFailed(problem, *document.position(root.start))
    vectors = []
    for vector in _items(document, root):
        numbers = []
        for number in _items(document, vector):
            _expect(document, number, "VALUE_NUMBER")
            numbers.append(number.value)
        vectors.append(numbers)
    return vectors


def _floats(vector: Sequence[float]) -> list[float]:
    """The vector as floats. Raises: Cause for a number that no 32-bit float can hold."""
    if vector and (max(vector) > _FLOAT_MAX or min(vector) < -_FLOAT_MAX):
        raise Cause("illegal_argument_exception", "a number is out of range for a 32-bit float")
    return [float(number) for number in vector]


def parse_sparse(data: bytes, truncated: Sequence[bool]) -> list[SparseVector]:
    """The token weights of `[{"token": weight}, …]`; `truncated` tells which inputs were cut."""
    document = _read(data)
    vectors = []
    for number, item in enumerate(_items(document, _root(document))):
        _expect(document, item, "START_OBJECT")
        for weight in item.value.values():
            _expect(document, weight, "VALUE_NUMBER")
        weights = _floats([weight.value for weight in item.value.values()])
        tokens = dict(zip(item.value, weights, strict=True))
        vectors.append(SparseVector(tokens, number < len(truncated) and truncated[number]))
    return vectors


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

    Raises: as parse_embeddings; an index outside `count` texts is a bad reply, too.
    """
    document = _read(data)
    ranked = []
    for item in _items(document, _root(document)):
        _expect(document, item, "START_OBJECT")
        values = _located(_RANKED, document, item)
        if not 0 <= values["index"] < count:
            problem = f"index [{values['index']}] is outside the [{count}] documents sent"
            raise Cause("illegal_argument_exception", problem)
        ranked.append(RankedDocument(values["index"], values["score"], values.get("text")))
    return ranked


def _one_or_more(document: Document, node: Node) -> list[Json]:
    items = node.value if node.kind == "START_ARRAY" else [node]
    return [_CHOICE.parse(document, item) for item in items]


_MESSAGE: Final = ObjectParser(
    "Message", {"content": Field(STRING, read_string)}, ("content",), lenient=True
)
_CHOICE: Final = ObjectParser(
    "Choice", {"message": Field(OBJECT, _MESSAGE.parse)}, ("message",), lenient=True
)
_COMPLETION: Final = ObjectParser(
    "CompletionResult",
    {"choices": Field(ARRAY | OBJECT, _one_or_more)},
    ("choices",),
    lenient=True,
)


def parse_completion(data: bytes) -> list[str]:
    """The text of each choice of a chat completion."""
    document = _read(data)
    values = _located(_COMPLETION, document, _root(document))
    return [choice["message"]["content"] for choice in values["choices"]]


def parse_chat(data: bytes) -> Json:
    """A chat's answer in one piece, as Elasticsearch writes it."""
    document = _read(data)
    root = _root(document)
    if root.kind != "START_OBJECT":
        raise XContentParseFailed(
            f"{document.at(root.start)} [chat_completion_chunk] Expected START_OBJECT but was: "
            f"{root.kind}"
        )
    return convert_reply(document.plain(), data)


def _read(data: bytes) -> Document:
    return parse_json(data, is_private=True)  # a reply may hold what the caller must not see


def _root(document: Document) -> Node:
    if document.root is None:
        raise document.error or XContentParseFailed("[1:1] no value found")
    return document.root


def _items(document: Document, node: Node) -> Iterator[Node]:
    """The elements of an array, then the syntax error that cuts it off, if one does.

    What follows a complete array does not matter.
    """
    _expect(document, node, "START_ARRAY")
    yield from node.value
    if node.end < 0:
        raise document.error or XContentParseFailed("[1:1] unclosed array")


def _expect(document: Document, node: Node, kind: str) -> None:
    if node.kind != kind:
        problem = (
            f"Failed to parse object: expecting token of type [{kind}] but found [{node.kind}]"
        )
        raise ParsingFailed(problem, *document.position(node.start))


def _located(parser: ObjectParser, document: Document, node: Node) -> Json:
    try:
        return parser.parse(document, node)
    except Located as located:
        raise located.error from None


class CountMismatch(StatusError):
    """Not as many results as inputs: nobody could tell which belongs to which."""

    def __init__(self, results: int, inputs: int) -> None:
        super().__init__(
            500,
            f"Error the number of embedding responses [{results}] does not equal the number of "
            f"requests [{inputs}]",
        )
        self.results = results


# Streams


def parse_completion_event(event: ServerSentEvent) -> list[str]:
    """The deltas of one event of a streamed completion; null and empty ones are nothing."""
    chunk = _parse_event(event)
    try:
        contents = [choice["delta"].get("content") for choice in chunk["choices"]]
    except (KeyError, TypeError, AttributeError):
        contents = [chunk]  # something is wrong with it
    if not all(isinstance(content, str | None) for content in contents):
        contents = _walk_deltas(_read(event.data.encode()))
    return [content for content in contents if content]


def _walk_deltas(document: Document) -> list[str | None]:
    """The careful way, token by token."""
    contents: list[str | None] = []
    for choice in _items(document, _required(_root(document), "choices")):
        delta = _required(choice, "delta")
        _expect(document, delta, "START_OBJECT")
        content = delta.value.get("content")
        if content is not None and content.kind != "VALUE_NULL":
            _expect(document, content, "VALUE_STRING")
            contents.append(content.value)
    return contents


def _required(node: Node, name: str) -> Node:
    found: Node | None = node.value.get(name) if node.kind == "START_OBJECT" else None
    if found is None:
        reason = f"Failed to find required field [{name}] in OpenAI chat completions response"
        raise Cause("illegal_state_exception", reason)
    return found


def parse_chat_event(
    event: ServerSentEvent, endpoint: InferenceEndpoint, profile: Profile = DEFAULT
) -> Json:
    """One chunk of a streamed chat. Raises: ChatError."""
    prefix = (
        f"Received an error response for request from inference entity id [{endpoint.inference_id}]"
    )
    try:
        chunk = _parse_event(event)
    except ProxyError as error:
        if event.event == "error":
            raise ChatError(400, "stream_error", prefix, profile.chat_error_type) from None
        raise ChatError(400, "bad_request", error.reason, error.type) from None
    if (failure := _stream_failure(chunk, event.event)) is not None:
        text, code = failure
        raise ChatError(
            400,
            code,
            f"{prefix}. Error message: [{shown_text(text, endpoint)}]",
            "hugging_face_error",
        )
    return convert_chunk(chunk, event.data.encode())


def _stream_failure(chunk: Json, event: str) -> tuple[str, str | None] | None:
    """Text and code of an error inside a stream, if the event is one."""
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


def _parse_event(event: ServerSentEvent) -> Json:
    try:
        value = orjson.loads(event.data)
    except orjson.JSONDecodeError:
        error = _read(event.data.encode()).error
        raise error or XContentParseFailed("[1:1] malformed JSON") from None
    if not isinstance(value, dict):
        raise XContentParseFailed("[1:1] expected an object")
    return value
