"""`_bulk`: items one by one, in windows, with the vectors of their documents put in.

Source: BulkRequestParser, ShardBulkInferenceActionFilter.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from proxy.ground.errors import IllegalArgument, ProxyError, StatusError
from proxy.semantic.documents import (
    BYTE_ORDER_MARK,
    Place,
    ReadDocument,
    around_added,
    check_own,
    known_tree,
    place_below,
    read_document,
    without_field,
)
from proxy.semantic.fields import Fields
from proxy.semantic.filling import Chunkers, Filling, all_sources, prepare
from proxy.semantic.givenvectors import given_vectors, names_of_given
from proxy.semantic.sourcefilters import INFERENCE_FIELDS
from proxy.xcontent.document import Bounds
from proxy.xcontent.formats import parse
from proxy.xcontent.javatext import java_scalar
from proxy.xcontent.writing import dump_json, dump_light

ACTIONS: Final = ("index", "create", "update", "delete")
_BOUNDS: Final = Bounds(nesting=100, values=10_000)  # of an action line
_TEXTS: Final = frozenset(("_index", "_id", "routing", "pipeline"))  # whatever a line says they are
_PER_NUMBER: Final = 20  # bytes, of those in vectors
_SHORT: Final = 64 * 1024  # bytes of an action line that is written in one step
_LONGEST: Final = 100 * 1024 * 1024  # bytes of a line: `http.max_content_length` by default

SCRIPTED: Final = (
    "Cannot apply update with a script on indices that contain [semantic_text] field(s)"
)


class Malformed(Exception):
    """A line that Elasticsearch refuses, and with it the whole body.

    `line` is that line, or what stands for it; `before` is how many lines come before.
    """

    def __init__(self, line: bytes, before: int) -> None:
        super().__init__()
        self.line = line
        self.before = before


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """The version of a document that was read, which must still be there when it is written."""

    if_seq_no: int
    if_primary_term: int


@dataclass(slots=True, kw_only=True)
class Item:
    """One action, and its document if it has one."""

    action: str
    meta: dict[str, Any]
    action_line: bytes
    source: bytes | None
    fields: Fields = field(default_factory=dict)
    chunkers: Chunkers = field(default_factory=dict)
    concrete: str | None = None  # its index by the name it has itself, once that is known
    filling: Filling | None = None  # None where no semantic field is concerned
    place: Place | None = None  # where in its source the vectors go
    upsert: Filling | None = None  # of the document that an update makes if there is none
    upsert_place: Place | None = None
    failure: ProxyError | None = None  # what keeps it from being prepared
    answer: dict[str, Any] | None = None  # for one that is not sent, and has not failed
    guard: Guard | None = None
    inserts: bool = False  # whether it is an update that may make a document
    is_ingested: bool = False  # whether pipelines have run, but for what the upstream runs
    seen: bytes | None = None  # what the document becomes by what the upstream does with it

    @property
    def index(self) -> str | None:
        """The index that it names itself."""
        name = self.meta.get("_index")
        return None if name is None else str(name)

    @property
    def id(self) -> str | None:
        name = self.meta.get("_id")
        return None if name is None else str(name)

    @property
    def size(self) -> int:
        """Bytes of its document."""
        return len(self.source or b"")

    @property
    def line_count(self) -> int:
        return 1 if self.source is None else 2

    @property
    def error(self) -> ProxyError | None:
        if self.failure is None:
            for filling in (self.filling, self.upsert):
                if filling is not None and filling.error is not None:
                    return filling.error
        return self.failure

    @property
    def retries(self) -> int:
        """How many conflicts its caller lets pass."""
        found = self.meta.get("retry_on_conflict")
        try:
            return int(found or 0)
        except (TypeError, ValueError, OverflowError):  # the last of 1e999
            return 0

    @property
    def is_filled(self) -> bool:
        """Whether anything is put in."""
        return any(one is not None and one.fields for one in (self.filling, self.upsert))

    @property
    def relies(self) -> bool:
        """Whether it depends on the document that is there."""
        filling = self.filling
        return self.action == "update" and filling is not None and bool(filling.fields)

    @property
    def is_sent(self) -> bool:
        return self.error is None and self.answer is None

    def forget(self) -> None:
        """Forget what was found out, so that it can be prepared anew."""
        self.fields, self.chunkers = {}, {}
        self.filling = self.place = self.upsert = self.upsert_place = None
        self.failure = self.guard = None
        self.inserts = False

    def fillings(self) -> list[Filling]:
        """What its documents need."""
        return [one for one in (self.filling, self.upsert) if one is not None]

    def prepare(self) -> None:
        """See what its document needs, once its fields are known."""
        if not self.fields or self.source is None or self.failure is not None:
            return
        try:
            document = read_document(self.seen or self.source, self._sources())
            if document is not None:  # if it is None, the upstream says what is wrong with it
                self._prepare(document)
        except ProxyError as error:
            self.failure = error

    def _sources(self) -> Iterable[str]:
        sources = all_sources(self.fields)
        if self.action != "update":
            return sources
        return [f"{below}.{source}" for below in ("doc", "upsert") for source in sources]

    def _prepare(self, document: ReadDocument) -> None:
        check_own(document.content)
        own = document if self.seen is None else read_document(self.source or b"")
        assert own is not None
        if self.action == "update":
            self._prepare_update(document, own)
            return
        content = document.content
        given = None
        if names := names_of_given(own.content):
            self.check_source()
            given = given_vectors(content, self.fields)
        self.place = own.place
        self.filling = prepare(content, self.fields, self.chunkers, given=given)
        self.filling.given = names

    def _prepare_update(self, document: ReadDocument, own: ReadDocument) -> None:
        if "script" in document.content:
            raise StatusError(400, SCRIPTED)
        content = document.content
        self.inserts = "upsert" in content or content.get("doc_as_upsert") is True
        self.filling, self.place = self._below(document, own, "doc")
        self.upsert, self.upsert_place = self._below(document, own, "upsert")

    def _below(
        self, document: ReadDocument, own: ReadDocument, name: str
    ) -> tuple[Filling | None, Place | None]:
        """What one of the documents of an update needs, and where in its own its vectors go."""
        content = document.content.get(name)
        if not isinstance(content, dict):
            return None, None
        check_own(content)
        if names_of_given(content):
            raise IllegalArgument(f"[{INFERENCE_FIELDS}] cannot be part of an update")
        filling = prepare(content, self.fields, self.chunkers)
        assert self.source is not None
        return filling, place_below(self.source, own, name) if filling.fields else None

    def check_source(self) -> None:
        """Raises: ProxyError for a source from which nothing can be taken, as it repeats keys."""
        known_tree(self.source or b"")

    def rendered(self) -> bytes:
        """What is sent upstream for it, which alone has its vectors from then on."""
        lines = self.lines()
        for filling in self.fillings():
            filling.let_go()
        return lines

    def lines(self) -> bytes:
        """What is sent upstream for it."""
        if self.source is None:
            return self.action_line + b"\n"
        if self.filling is None and self.upsert is None and self.guard is None:
            return b"%b\n%b\n" % (self.action_line, self.source)
        pieces = [self._sent_source(self.source)]
        additions = [(self.place, self.filling), (self.upsert_place, self.upsert)]
        wanted = [(place, one) for place, one in additions if place and one and one.fields]
        # From the back, so that places stay where they are.
        for place, filling in sorted(wanted, key=lambda one: one[0].end, reverse=True):
            before, after = around_added(pieces[0], place)
            pieces[:1] = [before, *filling.pieces(), after]
        return b"".join([self._line(), b"\n", *pieces, b"\n"])

    def _sent_source(self, source: bytes) -> bytes:
        """The source without what must not be sent on; the places are those in it."""
        for given in () if self.filling is None else self.filling.given:
            source, self.place = without_field(source, given)
        if self.guard is not None and self.inserts:  # what is there will not be made
            for name in ("doc_as_upsert", "upsert"):
                if (document := read_document(source)) is not None and name in document.content:
                    source, _ = without_field(source, name)
            document = read_document(source)
            assert document is not None
            self.upsert = None
            self.place = place_below(source, document, "doc")
        return source

    def _line(self) -> bytes:
        """The action line: as it came, but for what must be added to it."""
        meta = self.meta
        if self.guard is not None:
            meta = {name: one for name, one in meta.items() if name != "retry_on_conflict"}
            meta["if_seq_no"] = self.guard.if_seq_no
            meta["if_primary_term"] = self.guard.if_primary_term
        if self.action != "update" and self.filling is not None and self.filling.fields:
            own = meta.get("dynamic_templates")
            own = {} if own is None else own
            if isinstance(own, dict):  # or the upstream says what is wrong with it
                meta = {**meta, "dynamic_templates": {**own, **self.filling.markers()}}
        if meta is self.meta:
            return self.action_line
        dump = dump_light if len(self.action_line) <= _SHORT else dump_json
        return dump({self.action: meta})

    def failed(self, index: str, error: ProxyError) -> dict[str, Any]:
        """Its place in the answer, if it has failed here."""
        return self.refused(index, error.status, error.render())

    def refused(self, index: str, status: int, error: Any) -> dict[str, Any]:
        """Its place in the answer, with an error of that status."""
        entry = {"_index": self.concrete or self.index or index, "_id": self.id or new_id()}
        return {self.action: {**entry, "status": status, "error": error}}


def new_id() -> str:
    """An identifier for a document that has none, as Elasticsearch makes them: 20 characters."""
    return base64.urlsafe_b64encode(secrets.token_bytes(15)).decode()


@dataclass(slots=True)
class Window:
    """Items that are worked through together."""

    items: list[Item]
    lines: int = 0  # of the body, before these
    numbers: int = 0  # in all vectors that its items get, about
    pieces: list[bytes] = field(default_factory=list)  # what is sent for them, once that is known
    _lines: int = field(default=-1, init=False)  # bytes of the items' lines, once they are counted

    @classmethod
    def joined(cls, windows: Sequence[Window]) -> Window:
        """Several that follow each other as one."""
        items = [item for window in windows for item in window.items]
        pieces = [piece for window in windows for piece in window.pieces]
        return cls(items, windows[0].lines, sum(window.numbers for window in windows), pieces)

    def sent(self) -> list[Item]:
        """Those that go upstream."""
        return [item for item in self.items if item.is_sent]

    def size(self) -> int:
        """Bytes of its documents."""
        return sum(item.size for item in self.items)

    def weight(self) -> int:
        """Bytes of what is sent for it, or about as many before that is known.

        Deletions have no documents, and what is not sent is there all the same.
        """
        if self._lines < 0:
            self._lines = sum(len(item.action_line) + item.size for item in self.items)
        if self.pieces:
            return max(self._lines, sum(map(len, self.pieces)))
        return self._lines + self.numbers * _PER_NUMBER

    def line_count(self) -> int:
        """Lines of its items, without those between them."""
        return sum(item.line_count for item in self.items)

    def line_of(self, sent: int) -> int:
        """The number in the body of a line, by its number among those that are sent."""
        line = self.lines
        for item in self.items:
            if item.is_sent:
                if sent <= item.line_count:
                    break
                sent -= item.line_count
            line += item.line_count
        return line + sent

    def answers(self, upstream: Sequence[Mapping[str, Any]], index: str) -> list[Any]:
        """All items' answers in order; `upstream` has those that no item has itself."""
        left = iter(upstream)
        found: list[Any] = []
        for item in self.items:
            if item.answer is None and item.error is not None:
                found.append(item.failed(index, item.error))
            else:
                found.append(item.answer if item.answer is not None else next(left))
        return found


def rendered(items: Iterable[Item]) -> bytes:
    """What is sent upstream for these items."""
    return b"".join([item.rendered() for item in items])


def prepare_all(items: Iterable[Item]) -> None:
    """See what the documents of these items need."""
    for item in items:
        item.prepare()


# Reading


def read_action(line: bytes) -> tuple[str, dict[str, Any]] | None:
    """An action line's action and what it says of it; None if Elasticsearch would refuse it."""
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError:
        found = parse(line, "json", _BOUNDS)
        document = None if found.error is not None or found.root is None else found.root.plain()
    if not isinstance(document, dict) or len(document) != 1:
        return None
    ((action, meta),) = document.items()
    if action not in ACTIONS or not isinstance(meta, dict):
        return None
    if action == "index" and meta.get("op_type") == "create":
        action = "create"  # which asks for another privilege
    for name, value in meta.items():
        if not isinstance(value, str) and name in _TEXTS:
            return action, _with_texts(line, meta)
    return action, meta


def _with_texts(line: bytes, meta: Mapping[str, Any]) -> dict[str, Any]:
    """What an action line says, with numbers for texts as they are written, and none for null.

    Such as `1e3` for the name of an index. Source: BulkRequestParser, XContentParser.text.
    """
    made = {name: value for name, value in meta.items() if value is not None or name not in _TEXTS}
    for name in _TEXTS & made.keys():
        if isinstance(value := made[name], int | float):
            made[name] = _written(line, name, value)
    return made


def _written(line: bytes, name: str, value: float) -> str:
    """A number or a boolean of an action line as it is written there."""
    if isinstance(value, int) and value:  # there is but one way to write others than `-0`
        return java_scalar(value)
    document = parse(line, "json", _BOUNDS)
    if document.error is not None or document.root is None:
        return java_scalar(value)  # the upstream says what is wrong with it
    (about,) = document.root.value.values()
    return document.text(about.value[name])


@dataclass(slots=True)
class _Reader:
    """Makes items of lines."""

    lines: int = 0  # read so far

    def items(self, data: bytes) -> tuple[list[Item], bytes]:
        """The items that end in `data`, and what is left of it. Raises: Malformed."""
        lines = data.split(b"\n")
        rest = lines.pop()
        items: list[Item] = []
        place = 0
        while place < len(lines):
            line = lines[place]
            if not line.strip():
                place += 1
                continue
            found = read_action(line)
            if found is None:
                raise Malformed(line + b"\n", self.lines + place)
            action, meta = found
            width = 1 if action == "delete" else 2
            if place + width > len(lines):
                break
            source = None
            if width == 2:
                source = lines[place + 1].removesuffix(b"\r").removeprefix(BYTE_ORDER_MARK)
            items.append(Item(action=action, meta=meta, action_line=line, source=source))
            place += width
        self.lines += place
        return items, b"\n".join([*lines[place:], rest])


async def windows(
    pieces: AsyncIterator[bytes], first: int, size: int, lines: int = 0
) -> AsyncGenerator[Window, None]:
    """The items of a body, in windows of about `size` bytes, and one of `first` before.

    `lines` of the body come before `pieces`.

    An action at the end without its document counts for nothing, as in Elasticsearch.
    Raises: Malformed.
    """
    reader = _Reader(lines)
    parts: list[bytes] = []
    length = 0
    async for piece in pieces:
        parts.append(piece)
        length += len(piece)
        if length >= first and b"\n" in piece:
            before = reader.lines
            items, rest = reader.items(b"".join(parts))
            parts, length = [rest], len(rest)
            if items:
                first = size
                yield Window(items, before)
        elif length > _LONGEST:
            raise StatusError(413, "a line of the body is too large")
    before = reader.lines
    data = b"".join(parts)
    if data and not data.endswith(b"\n"):
        raise Malformed(data.rpartition(b"\n")[2], before + data.count(b"\n"))
    items, _ = reader.items(data)
    if items:
        yield Window(items, before)
