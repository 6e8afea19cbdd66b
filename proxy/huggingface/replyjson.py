"""The JSON of providers' replies, read as strictly and as far as Elasticsearch reads it.

A value of the wrong kind is a ParsingFailed that names its place; text that is no JSON has the
error of the JSON parser. No error quotes the reply.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import orjson

from proxy.config import MAX_NESTING
from proxy.ground.errors import ParsingFailed, ProxyError, XContentParseFailed
from proxy.ground.frames import forget_frames
from proxy.ground.sse import ServerSentEvent
from proxy.xcontent.document import Bounds, Document, Node
from proxy.xcontent.jsonreader import parse_json
from proxy.xcontent.objectparser import Located, ObjectParser
from proxy.xcontent.values import Json

MAX_OBJECTS: Final = 1024  # choices of a chat, of which one is asked for, or calls of tools in one
MAX_VALUES: Final = 500_000
_MAX_LOOSE_ERROR: Final = 4096  # bytes; by token they take some milliseconds
_BOUNDS: Final = Bounds(nesting=MAX_NESTING, values=MAX_VALUES)


def read_reply(data: bytes) -> Document:
    """The reply as a tree. A syntax error is raised only when a reader comes upon it."""
    # It may hold what the caller must not see, and texts that were cut amid a character.
    return parse_json(data, _BOUNDS, is_private=True, lone_surrogates=True)


def load(data: bytes) -> Any:
    """The value of a reply as dicts, lists and scalars. Raises: XContentParseFailed.

    Fast for what is plain JSON; what is not, such as half a character, may still be a reply.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        document = read_reply(data)
        root_of(document)
        return document.plain()


def load_error(data: bytes) -> Any:
    """The value of a failed call's reply, read at once; None for what is no JSON.

    Of a long one, only plain JSON is read: what else it may be takes too long.
    """
    try:
        return orjson.loads(data) if len(data) > _MAX_LOOSE_ERROR else load(data)
    except orjson.JSONDecodeError:
        return None
    except ProxyError as error:
        forget_frames(error)
        return None


def root_of(document: Document) -> Node:
    """The outermost value. Raises: XContentParseFailed if there is none."""
    if document.root is None:
        raise document.error or XContentParseFailed("[1:1] no value found")
    return document.root


def items_of(document: Document, node: Node) -> Iterator[Node]:
    """The elements of an array, then its syntax error, if it breaks off.

    What follows a complete array is not looked at.
    """
    expect(document, node, "START_ARRAY")
    yield from node.value
    if node.end < 0:
        raise document.error or XContentParseFailed("[1:1] unclosed array")


def expect(document: Document, node: Node, kind: str) -> None:
    """Raises: ParsingFailed unless the node is of that kind."""
    if node.kind != kind:
        problem = (
            f"Failed to parse object: expecting token of type [{kind}] but found [{node.kind}]"
        )
        raise ParsingFailed(problem, *document.position(node.start))


def parse_fields(parser: ObjectParser, document: Document, node: Node) -> Json:
    """The declared fields of an object. Raises: the parser's first problem."""
    try:
        return parser.parse(document, node)
    except Located as located:
        raise located.error from None


def parse_event(event: ServerSentEvent) -> Json:
    """The object in an event's data. Raises: XContentParseFailed."""
    value = load(event.data.encode())
    if not isinstance(value, dict):
        raise XContentParseFailed("[1:1] expected an object")
    return value
