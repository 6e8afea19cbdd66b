"""A tree of retrievers as values, and how it is read from a search's body.

Only what is evaluated here is read; the rest of a leaf is for the upstream to read, and to refuse.
Source: RRFRetrieverBuilder, LinearRetrieverBuilder, TextSimilarityRankRetrieverBuilder, their
components, RescorerRetrieverBuilder, RetrieverBuilder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from proxy.ground.errors import IllegalArgument, ParsingFailed
from proxy.inference.chunking import ChunkingSettings, parse_chunking
from proxy.semantic.retrievers.fusion import NORMALIZERS, f32
from proxy.xcontent.document import Document, Node
from proxy.xcontent.javatext import java_double
from proxy.xcontent.objectparser import (
    ARRAY,
    BOOLEAN,
    NUMBER,
    OBJECT,
    STRING,
    Field,
    Located,
    ObjectParser,
    Read,
    objects_of,
    read_boolean,
    read_float,
    read_int,
    read_plain,
    read_string,
)

RRF: Final = "rrf"
LINEAR: Final = "linear"
RERANKER: Final = "text_similarity_reranker"
RESCORER: Final = "rescorer"
COMPOUND: Final = frozenset((RRF, LINEAR, RERANKER))

_WINDOW: Final = 10
_RANK_CONSTANT: Final = 60
_RESCORED: Final = 10  # documents, where a rescorer does not say how many
_WHOLE_SENTENCES: Final = ChunkingSettings(max_chunk_size=300, sentence_overlap=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """What every compound retriever has."""

    window: int
    filters: Sequence[Any] = ()
    min_score: float | None = None
    label: str | None = None  # its `_name`


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A retriever that the upstream evaluates.

    `inner` is a retriever below it that the upstream may not know, as below `pinned`.
    """

    name: str
    values: Mapping[str, Any]
    inner: Retriever | None = None

    @property
    def label(self) -> str | None:
        found = self.values.get("_name")
        return found if isinstance(found, str) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """A retriever below one that fuses several."""

    retriever: Retriever
    weight: float = 1.0
    normalizer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Simplified:
    """Fields and a text in place of retrievers. `fields` None stands for the index's default."""

    query: str | None = None
    fields: Sequence[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rrf:
    """Reciprocal rank fusion."""

    common: Common
    branches: Sequence[Branch] = ()
    rank_constant: int = _RANK_CONSTANT
    simplified: Simplified = Simplified()
    name: str = RRF


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """A weighted sum of normalized scores; `normalizer` is that of branches that name none."""

    common: Common
    branches: Sequence[Branch] = ()
    normalizer: str | None = None
    simplified: Simplified = Simplified()
    name: str = LINEAR


@dataclass(frozen=True, slots=True, kw_only=True)
class Snippets:
    """Which parts of a text are reranked in its place: the `size` best ones."""

    size: int = 1
    chunking: ChunkingSettings = _WHOLE_SENTENCES


@dataclass(frozen=True, slots=True, kw_only=True)
class Reranker:
    """Ranks by the scores that an endpoint gives to the first value of a field.

    `inference_id` is None where the caller leaves the endpoint to Elasticsearch.
    """

    common: Common
    child: Retriever
    field: str
    text: str
    inference_id: str | None = None
    allow_failures: bool = False
    snippets: Snippets | None = None
    name: str = RERANKER


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescorer:
    """Ranks by other queries' scores, as the upstream rescores: the best documents of each shard.

    Elasticsearch calls its window so, too, and takes the least of those of `rescore`.
    """

    common: Common
    child: Retriever
    rescore: Sequence[Any]
    name: str = RESCORER


Fusing = Rrf | Linear
Compound = Rrf | Linear | Reranker | Rescorer
Retriever = Leaf | Compound


def has_compound(body: Any) -> bool:
    """Whether a search's body may hold a retriever that is evaluated here."""
    return isinstance(body, Mapping) and _holds_compound(body.get("retriever"))


def _holds_compound(retriever: Any) -> bool:
    """Looks where retrievers stand only, as a query may have fields of these names."""
    if not isinstance(retriever, Mapping):
        return False
    return any(
        name in COMPOUND or (isinstance(body, Mapping) and _holds_compound(body.get("retriever")))
        for name, body in retriever.items()
    )


def parse_tree(document: Document) -> Retriever:
    """The retriever of a body. Raises: ProxyError for what Elasticsearch's parsers refuse."""
    root = document.root
    node = root.value.get("retriever") if root is not None else None
    if node is None:
        raise IllegalArgument("the body holds no retriever")
    name, body = _only(document, node)
    if body.kind != "START_OBJECT":
        reason = f"[{name}] retriever malformed, no [START_OBJECT] after retriever name"
        raise ParsingFailed(reason, *document.position(body.start))
    if len(node.value) > 1:
        second = list(node.value)[1]
        reason = f"[{name}] malformed retriever, expected [END_OBJECT] but found [FIELD_NAME]"
        raise ParsingFailed(reason, *document.position(node.keys[second]))
    try:
        return _named(document, name, body)
    except Located as located:
        raise located.error from None


def _only(document: Document, node: Node) -> tuple[str, Node]:
    """The first name and value of an object that is to have one."""
    if not node.value:
        reason = "retriever malformed, empty clause found"
        raise ParsingFailed(reason, *document.position(max(node.end - 1, node.start)))
    name: str = next(iter(node.value))
    return name, node.value[name]


def _named(document: Document, name: str, node: Node) -> Retriever:
    read = _READERS.get(name)
    return _leaf(document, name, node) if read is None else read(document, node)


def _leaf(document: Document, name: str, node: Node) -> Leaf:
    values = node.plain()
    below = node.value.get("retriever") if node.kind == "START_OBJECT" else None
    inner = None
    if below is not None and _holds_compound(below.plain()):
        inner = _named(document, *_only(document, below))
    return Leaf(name=name, values=values if isinstance(values, Mapping) else {}, inner=inner)


def _child(document: Document, node: Node) -> Retriever:
    """What stands below `retriever`, or as an item of `retrievers`."""
    return _named(document, *_only(document, node))


def _normalizer(document: Document, node: Node) -> str:
    name = read_string(document, node)
    if name.lower() not in NORMALIZERS:
        raise IllegalArgument(f"Unknown normalizer [{name}]")
    return name.lower()


def _strings(document: Document, node: Node) -> list[str]:
    if node.kind == "START_ARRAY":
        return [document.text(item) for item in node.value]
    return [read_string(document, node)]


_COMMON: Final[Mapping[str, Field]] = {
    "filter": Field(OBJECT | ARRAY, objects_of(read_plain)),
    "_name": Field(STRING, read_string),
    "min_score": Field(NUMBER, read_float),
    "rank_window_size": Field(NUMBER, read_int),
}
_SIMPLIFIED: Final[Mapping[str, Field]] = {
    "fields": Field(STRING | ARRAY, _strings),
    "query": Field(STRING, read_string),
}


def _common(values: Mapping[str, Any]) -> Common:
    return Common(
        window=values.get("rank_window_size", _WINDOW),
        filters=values.get("filter", ()),
        min_score=values.get("min_score"),
        label=values.get("_name"),
    )


def _simplified(values: Mapping[str, Any]) -> Simplified:
    return Simplified(query=values.get("query"), fields=values.get("fields"))


# --- rrf and linear

_BRANCH: Final = {"retriever": Field(OBJECT, _child), "weight": Field(NUMBER, read_float)}
_OF_LINEAR: Final = ObjectParser(
    "retriever-component",
    {**_BRANCH, "normalizer": Field(STRING, _normalizer)},
    ("retriever",),
)


def _weight(values: Mapping[str, Any]) -> float:
    weight = f32(values.get("weight", 1.0))
    if weight < 0:
        raise IllegalArgument(f"[weight] must be non-negative, found [{java_double(weight)}]")
    return weight


def _branch_of_rrf(document: Document, node: Node) -> Branch:
    """A retriever under its name, or one with a weight."""
    if not {"retriever", "weight"} & set(node.value):
        return Branch(retriever=_child(document, node))
    values = _OF_RRF.parse(document, node)
    return Branch(retriever=values["retriever"], weight=_weight(values))


def _branch_of_linear(document: Document, node: Node) -> Branch:
    values = _OF_LINEAR.parse(document, node)
    return Branch(
        retriever=values["retriever"],
        weight=_weight(values),
        normalizer=values.get("normalizer"),
    )


def _branches(read: Read) -> Field:
    return Field(OBJECT | ARRAY, objects_of(read))


_OF_RRF: Final = ObjectParser("rrf_component", _BRANCH, ("retriever",))
_RRF: Final = ObjectParser(
    RRF,
    {
        "retrievers": _branches(_branch_of_rrf),
        **_SIMPLIFIED,
        "rank_constant": Field(NUMBER, read_int),
        **_COMMON,
    },
)
_LINEAR: Final = ObjectParser(
    LINEAR,
    {
        "retrievers": _branches(_branch_of_linear),
        **_SIMPLIFIED,
        "normalizer": Field(STRING, _normalizer),
        **_COMMON,
    },
)


def _rrf(document: Document, node: Node) -> Rrf:
    values = _RRF.parse(document, node)
    rank_constant = values.get("rank_constant", _RANK_CONSTANT)
    if rank_constant < 1:
        raise IllegalArgument("[rank_constant] must be greater or equal to [1] for [rrf]")
    return Rrf(
        common=_common(values),
        branches=values.get("retrievers", ()),
        rank_constant=rank_constant,
        simplified=_simplified(values),
    )


def _linear(document: Document, node: Node) -> Linear:
    values = _LINEAR.parse(document, node)
    common = _common(values)
    if common.min_score is not None and common.min_score < 0:
        raise IllegalArgument(
            f"[min_score] must be greater than or equal to 0, was: "
            f"[{java_double(common.min_score)}]"
        )
    return Linear(
        common=common,
        branches=values.get("retrievers", ()),
        normalizer=values.get("normalizer"),
        simplified=_simplified(values),
    )


# --- text_similarity_reranker


def _snippets(document: Document, node: Node) -> Snippets:
    values = _CHUNK_RESCORER.parse(document, node)
    size = values.get("size", 1)
    if size < 1:
        raise IllegalArgument(f"size must be greater than 0, was: {size}")
    settings = values.get("chunking_settings")
    if not settings:
        return Snippets(size=size)
    if set(settings) == {"max_chunk_size"}:
        settings = {**settings, "strategy": "sentence", "sentence_overlap": 0}
    return Snippets(size=size, chunking=parse_chunking(settings))


_CHUNK_RESCORER: Final = ObjectParser(
    "chunk_rescorer",
    {
        "size": Field(NUMBER, read_int),
        "chunking_settings": Field(OBJECT, read_plain).or_null(),
    },
    lenient=True,
)
_RERANKER: Final = ObjectParser(
    RERANKER,
    {
        "retriever": Field(OBJECT, _child),
        "inference_id": Field(STRING, read_string),
        "inference_text": Field(STRING, read_string),
        "field": Field(STRING, read_string),
        "allow_rerank_failures": Field(BOOLEAN, read_boolean),
        "chunk_rescorer": Field(OBJECT, _snippets),
        **_COMMON,
    },
    ("retriever", "inference_text", "field"),
)


def _reranker(document: Document, node: Node) -> Reranker:
    values = _RERANKER.parse(document, node)
    return Reranker(
        common=_common(values),
        child=values["retriever"],
        field=values["field"],
        text=values["inference_text"],
        inference_id=values.get("inference_id"),
        allow_failures=values.get("allow_rerank_failures", False),
        snippets=values.get("chunk_rescorer"),
    )


# --- rescorer

_OF_RESCORER: Final = ObjectParser(
    RESCORER,
    {
        "retriever": Field(OBJECT, _child),
        "rescore": Field(OBJECT | ARRAY, objects_of(read_plain)),
        **{name: _COMMON[name] for name in ("filter", "_name", "min_score")},
    },
    ("retriever", "rescore"),
)


def _rescorer(document: Document, node: Node) -> Rescorer:
    values = _OF_RESCORER.parse(document, node)
    rescore = values["rescore"]
    windows = [one.get("window_size", _RESCORED) for one in rescore if isinstance(one, Mapping)]
    sizes = [one for one in windows if isinstance(one, int)]  # the upstream refuses what is not
    common = replace(_common(values), window=min(sizes, default=_RESCORED))
    return Rescorer(common=common, child=values["retriever"], rescore=rescore)


_READERS: Final[Mapping[str, Callable[[Document, Node], Retriever]]] = {
    RRF: _rrf,
    LINEAR: _linear,
    RERANKER: _reranker,
    RESCORER: _rescorer,
}
