"""What providers answer: results out of good replies, Elasticsearch's errors out of bad ones.

Pure functions on bytes. A reply of the wrong shape is a `parsing_exception` that names the place;
a reply that cannot be read at all has the error of its parser.
Source: HuggingFace*ResponseEntity, OpenAiStreamingProcessor, OpenAiUnifiedStreamingProcessor.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import orjson

from proxy.config import MAX_NESTING
from proxy.errors import Cause, ParsingFailed, XContentParseFailed
from proxy.inference.results import RankedDocument, SparseVector
from proxy.xcontent.document import Bounds, Document, Node
from proxy.xcontent.jsonreader import parse_json
from proxy.xcontent.objectparser import (
    NUMBER,
    STRING,
    Field,
    Located,
    ObjectParser,
    read_float,
    read_int,
    read_string,
)
from proxy.xcontent.values import Json

_FLOAT_MAX: Final = 3.4028234663852886e38
_BOUNDS: Final = Bounds(nesting=MAX_NESTING, values=500_000)
_NUMBER_TYPES: Final = {float, int}


# Good replies


def parse_embeddings(data: bytes) -> list[list[float]]:
    """The vectors of `[[…]]` or `{"embeddings": [[…]]}`, in reply order.

    Raises: ParsingFailed, Cause or XContentParseFailed for anything else.
    """
    vectors = _plain_vectors(data)
    if vectors is None:
        vectors = _walk_vectors(read_reply(data))
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
    root = root_of(document)
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
    for vector in items_of(document, root):
        numbers = []
        for number in items_of(document, vector):
            expect(document, number, "VALUE_NUMBER")
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
    document = read_reply(data)
    ranked = []
    for item in items_of(document, root_of(document)):
        expect(document, item, "START_OBJECT")
        values = located(_RANKED, document, item)
        if not 0 <= values["index"] < count:
            problem = f"index [{values['index']}] is outside the [{count}] documents sent"
            raise Cause("illegal_argument_exception", problem)
        ranked.append(RankedDocument(values["index"], values["score"], values.get("text")))
    return ranked


def read_reply(data: bytes) -> Document:
    # Private: a reply may hold what the caller must not see.
    return parse_json(data, _BOUNDS, is_private=True)


def root_of(document: Document) -> Node:
    if document.root is None:
        raise document.error or XContentParseFailed("[1:1] no value found")
    return document.root


def items_of(document: Document, node: Node) -> Iterator[Node]:
    """The elements of an array, then the syntax error that cuts it off, if one does.

    What follows a complete array does not matter.
    """
    expect(document, node, "START_ARRAY")
    yield from node.value
    if node.end < 0:
        raise document.error or XContentParseFailed("[1:1] unclosed array")


def expect(document: Document, node: Node, kind: str) -> None:
    if node.kind != kind:
        problem = (
            f"Failed to parse object: expecting token of type [{kind}] but found [{node.kind}]"
        )
        raise ParsingFailed(problem, *document.position(node.start))


def located(parser: ObjectParser, document: Document, node: Node) -> Json:
    try:
        return parser.parse(document, node)
    except Located as located:
        raise located.error from None
