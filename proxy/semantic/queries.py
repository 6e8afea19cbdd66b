"""Queries on semantic fields, rewritten into queries that any Elasticsearch takes.

A search is gone through twice. First it is asked which texts it needs embedded, then it is
rewritten with their vectors. Source: SemanticQueryBuilder, SemanticTextFieldMapper.semanticQuery,
InterceptedInferenceMatchQueryBuilder, InterceptedInferenceKnnVectorQueryBuilder,
AutoPrefilteringScope.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from proxy.errors import IllegalArgument
from proxy.semantic import layout
from proxy.semantic.fields import SemanticField
from proxy.semantic.registry import Target

LEAST_K: Final = 10  # so that aggregations have something to count where no hit is wanted
_MOST_CANDIDATES: Final = 10_000
_NATIVE: Final = ".inference.chunks"  # Elasticsearch's own path of the chunks of a field

# Where the queries below a compound one stand. A list holds them, or one stands alone.
_BELOW: Final[Mapping[str, Sequence[str]]] = {
    "dis_max": ("queries",),
    "constant_score": ("filter",),
    "boosting": ("positive", "negative"),
    "function_score": ("query",),
    "script_score": ("query",),
    "pinned": ("organic",),
    "rule": ("organic",),
    "nested": ("query",),
    "has_child": ("query",),
    "has_parent": ("query",),
}
_OCCURS: Final = ("must", "filter", "should", "must_not")
# Queries on one field that semantic fields do not take, each as `{name: {field: ...}}`.
_REFUSED: Final = frozenset(
    (
        "term",
        "terms",
        "prefix",
        "wildcard",
        "regexp",
        "fuzzy",
        "range",
        "match_phrase",
        "match_phrase_prefix",
        "match_bool_prefix",
        "intervals",
        "span_term",
    )
)

Wanted = tuple[str, str]  # the id of an endpoint, and the text that it is to embed
Vectors = Mapping[Wanted, Sequence[float]]


@dataclass(frozen=True, slots=True)
class Scope:
    """What holds around a query: which documents its vector searches may find at all."""

    filters: tuple[Any, ...] = ()
    inside: bool = False  # whether the documents are the chunks themselves

    def within(self, clauses: Mapping[str, Any]) -> Scope:
        """That of the clauses of a bool: what has to hold, holds for their vector searches, too."""
        found = [
            pruned
            for name in ("must", "filter")
            for one in _listed(clauses.get(name))
            if (pruned := _pruned(one)) is not None
        ]
        refused = [
            pruned
            for one in _listed(clauses.get("must_not"))
            if (pruned := _pruned(one)) is not None
        ]
        if refused:
            found.append({"bool": {"must_not": refused}})
        return replace(self, filters=(*self.filters, *found))


ANYWHERE: Final = Scope()


class Rewriter:
    """Rewrites the queries of one search; `k` is how many documents a vector search finds.

    With `vectors` None nothing is rewritten; `wanted` then collects what has to be embedded.
    """

    def __init__(self, target: Target, k: int, vectors: Vectors | None) -> None:
        self.wanted: dict[Wanted, None] = {}
        self.is_semantic = False  # whether anything was rewritten
        self._target = target
        self._k = k
        self._vectors = vectors
        self._by_path: dict[str, dict[str, SemanticField]] = {}
        for index, fields in target.fields.items():
            for path, one in fields.items():
                self._by_path.setdefault(path, {})[index] = one

    def query(self, query: Any, scope: Scope = ANYWHERE) -> Any:
        """The query for the upstream. Raises: ProxyError for what semantic fields do not take."""
        if not isinstance(query, Mapping) or len(query) != 1:
            return query
        name, body = next(iter(query.items()))
        if not isinstance(body, Mapping):
            return query
        if name == "bool":
            return {"bool": self._bool(body, scope)}
        if name in _BELOW:
            return {name: self._compound(name, body, scope)}
        leaf = _LEAVES.get(name)
        if leaf is not None:
            return leaf(self, body, scope) or query
        if name in _REFUSED:
            self._refuse(name, body)
        return query

    def _bool(self, body: Mapping[str, Any], scope: Scope) -> dict[str, Any]:
        inner = scope.within(body)
        made = dict(body)
        for occur in _OCCURS:
            if occur in body:
                made[occur] = self._each(body[occur], inner)
        return made

    def _compound(self, name: str, body: Mapping[str, Any], scope: Scope) -> dict[str, Any]:
        made = dict(body)
        if name == "nested" and self._own_path(str(body.get("path"))) != body.get("path"):
            scope = replace(scope, inside=True)
        for place in _BELOW[name]:
            if place in body:
                made[place] = self._each(body[place], scope)
        if name == "function_score" and isinstance(body.get("functions"), list):
            made["functions"] = [self._function(one, scope) for one in body["functions"]]
        if name == "nested" and isinstance(path := body.get("path"), str):
            made["path"] = self._own_path(path)
        return made

    def _function(self, function: Any, scope: Scope) -> Any:
        if not isinstance(function, Mapping) or "filter" not in function:
            return function
        return {**function, "filter": self.query(function["filter"], scope)}

    def _each(self, value: Any, scope: Scope) -> Any:
        if isinstance(value, list):
            return [self.query(one, scope) for one in value]
        return self.query(value, scope)

    # --- leaves

    def _semantic(self, body: Mapping[str, Any], scope: Scope) -> Any:
        for name in ("field", "query"):
            if not body.get(name):
                raise IllegalArgument(f"[semantic] requires a {name} value")
        found = self._by_path.get(body["field"], {})
        clause = self._vector_clause(found, str(body["query"]), scope, _common(body))
        return clause or {"match_none": {}}

    def _match(self, body: Mapping[str, Any], scope: Scope) -> Any:
        path, value = next(iter(body.items()), ("", None))
        found = self._by_path.get(path)
        if not found:
            return None
        options = value if isinstance(value, Mapping) else {"query": value}
        clause = self._vector_clause(found, str(options.get("query", "")), scope, _common(options))
        return self._mixed(found, clause, {"match": body}, _common(options))

    def _exists(self, body: Mapping[str, Any], scope: Scope) -> Any:
        name = str(body.get("field"))
        if scope.inside and (own := self._own_path(name.removesuffix(".embeddings"))) != name:
            return {"exists": {**body, "field": f"{own}.{layout.VECTOR}"}}
        found = self._by_path.get(name)
        if not found:
            return None
        self.is_semantic = True
        path = next(iter(found.values())).path
        clause = {
            "nested": {
                "path": layout.chunks_path(path),
                "ignore_unmapped": True,
                "query": {"exists": {"field": layout.vector_path(path)}},
                **_common(body),
            }
        }
        return self._mixed(found, clause, {"exists": body}, _common(body))

    def _knn(self, body: Mapping[str, Any], scope: Scope) -> Any:
        path = str(body.get("field"))
        found = self._by_path.get(path.removesuffix(_NATIVE + ".embeddings"), {})
        own = {key: value for key, value in body.items() if key != "query_vector_builder"}
        if "filter" in body:
            own["filter"] = self._each(body["filter"], Scope())
        builder = body.get("query_vector_builder")
        if isinstance(builder, Mapping):
            vector = self._built(builder, found)
            if vector is None:
                return None
            own["query_vector"] = vector
        if not found:
            return {"knn": own} if own != body else None
        self.is_semantic = True
        one = next(iter(found.values()))
        own.setdefault("k", self._k)
        common: dict[str, Any] = _common(own)
        for name in common:
            del own[name]
        own["field"] = layout.vector_path(one.path)
        if scope.inside:
            return {"knn": {**own, **common}}
        return _nested(one.path, {"knn": own}, common)

    def _built(
        self, builder: Mapping[str, Any], found: Mapping[str, SemanticField]
    ) -> Sequence[float] | None:
        """The vector that a `query_vector_builder` stands for; None for one that is not known."""
        build = builder.get("text_embedding")
        if not isinstance(build, Mapping):
            return None
        model = build.get("model_id")
        if model is None and found:
            model = next(iter(found.values())).search_inference_id
        if model is None:
            raise IllegalArgument("[model_id] must be specified")
        return self._vector(str(model), str(build.get("model_text", "")))

    # --- what leaves become

    def _vector_clause(
        self,
        found: Mapping[str, SemanticField],
        text: str,
        scope: Scope,
        common: Mapping[str, Any],
    ) -> Any:
        """A clause that finds the documents whose chunks are nearest to a text."""
        self.is_semantic = True
        by_endpoint: dict[str, list[str]] = {}
        for index, one in found.items():
            if one.model is not None:
                by_endpoint.setdefault(one.search_inference_id, []).append(index)
            self._want(one.search_inference_id, text)
        clauses = []
        for inference_id, indices in by_endpoint.items():
            one = found[indices[0]]
            knn: dict[str, Any] = {
                "field": layout.vector_path(one.path),
                "query_vector": self._vector(inference_id, text),
                "k": self._k,
                "num_candidates": min(max(self._k * 3 // 2, LEAST_K * 10), _MOST_CANDIDATES),
            }
            if scope.filters:
                knn["filter"] = [self.query(one) for one in scope.filters]
            clauses.append((indices, _nested(one.path, {"knn": knn}, common)))
        if not clauses:
            return None
        if len(clauses) == 1:
            return clauses[0][1]
        return {"bool": {"should": [_only(indices, clause) for indices, clause in clauses]}}

    def _mixed(
        self,
        found: Mapping[str, SemanticField],
        clause: Any,
        plain: Any,
        common: Mapping[str, Any],
    ) -> Any:
        """`clause` where the field is semantic, `plain` in the other indices."""
        if not self._target.others:
            return clause or {"match_none": {}}
        indices = list(found)
        elsewhere = {"bool": {"must": [plain], "must_not": [{"terms": {"_index": indices}}]}}
        return {"bool": {"should": [*([clause] if clause else []), elsewhere]}}

    def _vector(self, inference_id: str, text: str) -> Sequence[float]:
        self._want(inference_id, text)
        return [] if self._vectors is None else self._vectors[inference_id, text]

    def _want(self, inference_id: str, text: str) -> None:
        self.wanted[inference_id, text] = None

    def _own_path(self, path: str) -> str:
        semantic = path.removesuffix(_NATIVE)
        return layout.chunks_path(semantic) if semantic in self._by_path else path

    def _refuse(self, name: str, body: Mapping[str, Any]) -> None:
        for path in body:
            if path in self._by_path:
                raise IllegalArgument(f"semantic_text fields do not support {name} query")

    def _multi_match(self, body: Mapping[str, Any], scope: Scope) -> Any:
        for path in _listed(body.get("fields")):
            bare = str(path).partition("^")[0]
            if bare in self._by_path:
                raise IllegalArgument(
                    f"Field [{bare}] of type [semantic_text] does not support match queries"
                )
        return None


_LEAVES: Final[Mapping[str, Callable[[Rewriter, Mapping[str, Any], Scope], Any]]] = {
    "semantic": Rewriter._semantic,
    "match": Rewriter._match,
    "multi_match": Rewriter._multi_match,
    "exists": Rewriter._exists,
    "knn": Rewriter._knn,
}


def _nested(path: str, query: Any, common: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "nested": {
            "path": layout.chunks_path(path),
            "score_mode": "max",
            "ignore_unmapped": True,
            "query": query,
            **common,
        }
    }


def _only(indices: list[str], clause: Any) -> dict[str, Any]:
    return {"bool": {"filter": [{"terms": {"_index": indices}}], "must": [clause]}}


def _common(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: body[name] for name in ("boost", "_name") if name in body}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _pruned(query: Any) -> Any:
    """A clause as a filter of vector searches, without what is nested or semantic itself."""
    if not isinstance(query, Mapping) or len(query) != 1:
        return None
    name, body = next(iter(query.items()))
    if name in ("nested", "semantic", "knn"):
        return None
    if name == "bool" and isinstance(body, Mapping):
        made = {}
        for key, value in body.items():
            if key in _OCCURS:
                kept = [one for one in map(_pruned, _listed(value)) if one is not None]
                if kept:
                    made[key] = kept
            else:
                made[key] = value
        return {"bool": made} if any(key in made for key in _OCCURS) else None
    return query
