"""Which highlights of semantic fields a search asks for, and which chunks of them as values.

Source: SemanticTextHighlighter, HighlightPhase, SemanticTextFieldMapper.valueFetcher.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from proxy.semantic import layout
from proxy.semantic.fields import SemanticField
from proxy.semantic.plainhighlights import with_words_alone
from proxy.semantic.prefilters import listed, named
from proxy.semantic.similarity import Embedding
from proxy.xcontent.numbers import Numbers

_TYPE: Final = "semantic"
_FORMAT: Final = "chunks"
_FRAGMENTS: Final = 5  # where nobody says how many

Found = Mapping[str, SemanticField]  # a semantic field, by index


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """What a query looks for; None where it finds every document."""

    vector: Embedding | None
    chunks: str = ""  # the path of the chunks among which it looks
    indices: frozenset[str] | None = None  # in which it does; None for all

    def scores(self, index: str, one: SemanticField) -> bool:
        """Whether it scores the chunks of a field."""
        if self.indices is not None and index not in self.indices:
            return False
        return self.vector is None or self.chunks == layout.vector_path(one.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Highlight:
    """The best chunks of a field, which hits are to show."""

    name: str
    found: Found
    number: int
    by_score: bool  # in that order; else in that of the text
    sought: tuple[Sought, ...]


@dataclass(slots=True, kw_only=True)
class Shown:
    """What the hits of a search show of semantic fields beside what the upstream gives."""

    highlights: list[Highlight] = field(default_factory=list)
    chunks: dict[str, Found] = field(default_factory=dict)  # fields to be shown as their chunks
    formats: dict[str, str] = field(default_factory=dict)  # by field, those that there are not
    # Fields that are only highlighted if they are named: patterns stand for texts and keywords.
    unnamed: dict[str, Found] = field(default_factory=dict)
    within: list[Within] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.highlights or self.chunks or self.unnamed or self.within)


@dataclass(frozen=True, slots=True, kw_only=True)
class Within:
    """What hits within hits, or in buckets of an aggregation, show: those of one name."""

    name: str
    in_buckets: bool
    shown: Shown


def taken_over(
    body: dict[str, Any],
    by_path: Mapping[str, Found],
    indices: int,
    sought: Iterable[Sought],
    query: Any,
) -> Shown:
    """What a rewritten search asks to be shown; taken out of the body, for no upstream knows it.

    `indices` is how many the search goes to, so that those without the field keep what is theirs.
    The body may be that of hits within others; `sought` is what these are found by, and `query` the
    query that finds them.
    """
    shown = Shown()
    if isinstance(body.get("highlight"), Mapping):
        own = {name for name, found in by_path.items() if len(found) == indices}
        body["highlight"] = _without_semantic(body["highlight"], tuple(sought), by_path, own, shown)
        shown.unnamed = _unnamed(body["highlight"], by_path, shown)
        if shown.highlights and not body["highlight"].get("fields"):
            del body["highlight"]
        elif by_path:
            body["highlight"] = with_words_alone(body["highlight"], query)
    if isinstance(body.get("fields"), list):
        body["fields"] = [one for one in body["fields"] if not _is_chunks(one, by_path, shown)]
        if not body["fields"]:
            del body["fields"]
    return shown


def _without_semantic(
    highlight: Mapping[str, Any],
    sought: tuple[Sought, ...],
    by_path: Mapping[str, Found],
    own: Collection[str],
    shown: Shown,
) -> dict[str, Any]:
    """The rest of a `highlight`; `own` are the fields that are semantic in every index."""
    left = []
    for fields in listed(highlight.get("fields")):
        kept = {}
        for name, options in fields.items() if isinstance(fields, Mapping) else ():
            every = {**highlight, **(options if isinstance(options, Mapping) else {})}
            found = by_path.get(name)
            if found and every.get("type", _TYPE) == _TYPE:
                shown.highlights.append(_highlight(name, found, every, sought))
            if every.get("type") != _TYPE and ("type" in every or name not in own):
                kept[name] = options
        if kept:
            left.append(kept)
    is_list = isinstance(highlight.get("fields"), list)
    made = {**highlight, "fields": left if is_list else left[0] if left else {}}
    if made.get("type") == _TYPE:
        del made["type"]
    return made


def _unnamed(
    highlight: Mapping[str, Any], by_path: Mapping[str, Found], shown: Shown
) -> dict[str, Found]:
    """The semantic fields that a `highlight` stands for by patterns alone."""
    entries = [fields for fields in listed(highlight.get("fields")) if isinstance(fields, Mapping)]
    names = {name for fields in entries for name in fields}
    named_ones = names | {one.name for one in shown.highlights}
    patterns = [name for name in names if "*" in name]
    return {
        name: found
        for name, found in by_path.items()
        if name not in named_ones and any(fnmatchcase(name, pattern) for pattern in patterns)
    }


def _highlight(
    name: str, found: Found, options: Mapping[str, Any], sought: tuple[Sought, ...]
) -> Highlight:
    number = options.get("number_of_fragments", _FRAGMENTS)
    query = options.get("highlight_query")
    return Highlight(
        name=name,
        found=found,
        number=max(number, 1) if isinstance(number, int) else _FRAGMENTS,
        by_score=options.get("order") == "score",
        sought=sought if query is None else tuple(sought_in(query)),
    )


def sought_by(body: Mapping[str, Any]) -> Iterator[Sought]:
    """What a whole search looks for."""
    if "query" in body:
        yield from sought_in(body["query"])
    elif "knn" not in body and "retriever" not in body:
        yield Sought(vector=None)
    for knn in listed(body.get("knn")):
        yield from _of_knn(knn, None)
    yield from _of_retriever(body.get("retriever"))


def _of_retriever(retriever: Any) -> Iterator[Sought]:
    if isinstance(retriever, list):
        for one in retriever:
            yield from _of_retriever(one)
    for name, one in retriever.items() if isinstance(retriever, Mapping) else ():
        if name == "knn":
            yield from _of_knn(one, None)
        elif isinstance(one, Mapping):
            if name == "standard" and "query" in one:
                yield from sought_in(one["query"])
            yield from _of_retriever(one.get("retriever"))
            for below in listed(one.get("retrievers")):
                inner = below.get("retriever", below) if isinstance(below, Mapping) else None
                yield from _of_retriever(inner)


def sought_in(query: Any, indices: frozenset[str] | None = None) -> Iterator[Sought]:
    """What a rewritten query looks for; what must not be found is not looked for."""
    name, body = named(query)
    if name == "match_all":
        yield Sought(vector=None, indices=indices)
    elif name == "knn":
        yield from _of_knn(body, indices)
    elif name == "sparse_vector" and isinstance(body.get("query_vector"), Mapping):
        yield Sought(vector=body["query_vector"], chunks=str(body.get("field")), indices=indices)
    elif name == "bool":
        for one in listed(body.get("filter")):
            indices = _only(one, indices)
        for occur in ("must", "filter", "should"):
            for one in listed(body.get(occur)):
                yield from sought_in(one, indices)
    else:
        for place in ("query", "queries", "filter", "positive", "organic"):
            for one in listed(body.get(place)):
                yield from sought_in(one, indices)


def _of_knn(knn: Any, indices: frozenset[str] | None) -> Iterator[Sought]:
    if isinstance(knn, Mapping) and (vector := _vector(knn.get("query_vector"))):
        for one in listed(knn.get("filter")):
            indices = _only(one, indices)
        yield Sought(vector=vector, chunks=str(knn.get("field")), indices=indices)


def _vector(value: Any) -> list[float] | None:
    """A list of numbers; None for anything else, of which the upstream says what is wrong."""
    found = value.to_list() if isinstance(value, Numbers) else value
    try:
        return found if isinstance(found, list) and array("f", found) else None
    except (TypeError, OverflowError):
        return None


def _only(query: Any, indices: frozenset[str] | None) -> frozenset[str] | None:
    """What a filter for indices leaves of these."""
    name, body = named(query)
    if name != "terms" or not isinstance(body.get("_index"), list):
        return indices
    named_here = frozenset(body["_index"])
    return named_here if indices is None else indices & named_here


def _is_chunks(entry: Any, by_path: Mapping[str, Found], shown: Shown) -> bool:
    """Whether an entry of `fields` asks for chunks, which we add ourselves."""
    if not isinstance(entry, Mapping) or entry.get("format") is None:
        return False
    name = str(entry.get("field"))
    found = by_path.get(name)
    if not found:
        return False
    if entry["format"] != _FORMAT:
        shown.formats[name] = str(entry["format"])
        return False
    shown.chunks[name] = found
    return True
