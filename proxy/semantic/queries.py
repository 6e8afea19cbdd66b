"""Queries on semantic fields, rewritten into queries that any Elasticsearch takes.

A search is gone through twice. First it is asked which texts it needs embedded, then it is
rewritten with their vectors. Source: SemanticQueryBuilder, SemanticTextFieldMapper.semanticQuery,
InterceptedInferenceMatchQueryBuilder, InterceptedInferenceKnnVectorQueryBuilder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from proxy.ground.errors import IllegalArgument
from proxy.inference.endpoints import TaskType
from proxy.semantic import layout
from proxy.semantic.clauses import (
    Clause,
    any_of,
    has_chunks,
    in_indices,
    nested,
    not_in_indices,
    own_of,
)
from proxy.semantic.fields import TYPE, SemanticField
from proxy.semantic.modelsettings import DenseModel, ModelSettings, SparseModel
from proxy.semantic.prefilters import OCCURS, Scope, each, listed, named
from proxy.semantic.refusals import (
    MULTI_MATCH,
    NOT_MATCHED,
    UNSUPPORTED,
    check_semantic,
    refusal,
    takes_match,
)
from proxy.semantic.registry import Target
from proxy.semantic.vectorbuilders import (
    Build,
    build_of,
    build_of_tokens,
    has_tokens,
    options_of_tokens,
)
from proxy.semantic.vectors import Vectors, Wanted
from proxy.semantic.vectorsearch import candidates, weighted
from proxy.xcontent.javatext import java_scalar

LEAST_K: Final = 10  # so that aggregations have something to count where no hit is wanted
_DEEPEST: Final = 100  # queries within each other; Elasticsearch allows 30, if not configured
_NATIVE_VECTOR: Final = f".{layout.NATIVE_CHUNKS}.{layout.VECTOR}"

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

Found = Mapping[str, SemanticField]  # a semantic field, by index


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What had to be found out before a search could be rewritten."""

    vectors: Vectors = field(default_factory=Vectors)
    types: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # by path and index
    names: Mapping[str, Sequence[str]] = field(default_factory=dict)  # of users, by pattern


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearest:
    """A vector search: without boost and name, as these stand elsewhere if it is nested."""

    knn: dict[str, Any]
    path: str | None  # of the semantic field; None for vectors of the user's own
    where: Any = None  # a filter for the indices that it is for
    problem: str | None = None  # why these indices cannot be searched so


class Rewriter:
    """Rewrites queries.

    With `known` None nothing is, and `wanted`, `unclear` and `patterns` tell what has to be found
    out: the texts to embed, the fields of which to learn the type where they are not semantic, and
    the patterns of names that stand for fields of ours, too.
    """

    def __init__(self, target: Target, known: Known | None) -> None:
        self.wanted: dict[Wanted, None] = {}
        self.unclear: dict[str, None] = {}
        self.patterns: dict[str, None] = {}
        self.target = target
        self._known = known
        self._by_path = target.by_path()

    def query(self, query: Any, scope: Scope) -> Any:
        """The query for the upstream. Raises: ProxyError for what Elasticsearch refuses itself."""
        return self._query(query, scope, 0)

    def fields(self, path: str) -> Found:
        """The semantic field of that name, by index."""
        return self._by_path.get(path, {})

    def names_of(self, pattern: str) -> Sequence[str] | None:
        """The names that a pattern stands for, if it has to be told as such."""
        if "*" not in pattern or pattern == "*" or not self._is_of_ours(pattern):
            return None
        if self._known is None:
            self.patterns[pattern] = None
            return None
        return self._known.names.get(pattern, ())

    def _is_of_ours(self, pattern: str) -> bool:
        names = {
            name
            for found in self._by_path.values()
            for one in found.values()
            for name in layout.names(one.path, one.number)
        }
        return any(fnmatchcase(name, pattern) for name in names)

    def is_nested(self, name: str, body: Mapping[str, Any]) -> bool:
        """Whether a query becomes a nested one."""
        if name == "match":
            return any(path in self._by_path for path in body)
        if name == "exists":
            return bool(self._behind(str(body.get("field")).removesuffix(_NATIVE_VECTOR)))
        if name in ("knn", "sparse_vector"):
            return str(body.get("field")).removesuffix(_NATIVE_VECTOR) in self._by_path
        return name == "semantic"

    def _behind(self, name: str) -> list[str]:
        """The paths of semantic fields that a name, a pattern or an object stands for."""
        paths = {
            one.path: None
            for path, found in self._by_path.items()
            if path == name or path.startswith(f"{name}.") or fnmatchcase(path, name)
            for one in found.values()
        }
        return list(paths)

    def nearest(self, body: Mapping[str, Any], scope: Scope) -> list[Nearest]:
        """The vector searches that a `knn` stands for. Raises: ProxyError for what is wrong."""
        found, build = self._of_vectors(body), build_of(body)
        own = {key: value for key, value in body.items() if key not in ("boost", "_name")}
        if "filter" in body:
            own["filter"] = each(body["filter"], lambda one: self.query(one, scope.alone()))
        searches = [
            Nearest(knn=self._translated(own, path, wanted, scope), path=path, where=where)
            for path, wanted, where in self._parts(found, DenseModel, build)
        ]
        if refused := self._of_others(found, DenseModel, seen=True):
            where, problem = in_indices(refused), _not_of(DenseModel, body)
            searches.append(Nearest(knn={}, path=None, where=where, problem=problem))
        if found and not self._searches_others(found):
            return searches
        if build is not None and build.model_id is None:
            raise IllegalArgument(
                "[model_id] must not be null." if found else "[model_id] must be specified"
            )
        if build is not None and build.model_id is not None:
            wanted = self._want(Wanted(build.model_id, build.text, as_model=True))
            del own["query_vector_builder"]
            own["query_vector"] = self._vector_of_task(wanted, DenseModel.task)
        where = not_in_indices(found) if found else None
        return [*searches, Nearest(knn=own, path=None, where=where)]

    def _of_others(self, found: Found, kind: type[ModelSettings], *, seen: bool) -> list[str]:
        """The indices in which a field is of another kind of model, and filled if it is to be."""
        return [
            index
            for index, one in found.items()
            if one.model is not None and not isinstance(one.model, kind) and (one.seen or not seen)
        ]

    def _parts(
        self, found: Found, kind: type[ModelSettings], build: Build | None
    ) -> list[tuple[str, Wanted | None, Any]]:
        """Which embeddings of a kind are looked for where."""
        others = self._of_others(found, kind, seen=False)
        groups: dict[tuple[str, Wanted | None], list[str]] = {}
        for index, one in found.items():
            if index in others:
                continue
            wanted = None
            if build is not None:
                wanted = self._want(Wanted(build.model_id or one.search_inference_id, build.text))
            groups.setdefault((one.path, wanted), []).append(index)
        alone = len(groups) == 1 and not others
        return [
            (path, wanted, None if alone else in_indices(indices))
            for (path, wanted), indices in groups.items()
        ]

    def _translated(
        self, own: Mapping[str, Any], path: str, wanted: Wanted | None, scope: Scope
    ) -> dict[str, Any]:
        """A `knn` on a semantic field as one on its vectors."""
        made = {**own, "field": layout.vector_path(path)}
        if wanted is not None:
            del made["query_vector_builder"]
            made["query_vector"] = self._vector_of_task(wanted, DenseModel.task)
        given = own.get("num_candidates")
        if scope.has_default_k and "k" not in own:
            made["k"] = scope.k if not isinstance(given, int) else min(scope.k, given)
        if isinstance(k := made.get("k"), int) and (given is None or isinstance(given, int)):
            made["num_candidates"] = candidates(k, given)
        return made

    def _query(self, query: Any, scope: Scope, depth: int) -> Any:
        if depth > _DEEPEST:
            raise IllegalArgument(
                "The nested depth of the query exceeds the maximum nested depth for queries set in "
                "[indices.query.bool.max_nested_depth]"
            )
        name, body = named(query)
        if name == "bool":
            return {"bool": self._bool(body, scope, depth)}
        if name in _BELOW:
            return {name: self._compound(name, body, scope, depth)}
        leaf = _LEAVES.get(name)
        made = None if leaf is None else leaf(self, body, scope)
        if made is None and self._by_path and name in UNSUPPORTED:
            made = self._unsupported(name, body)
        return query if made is None else made

    def _bool(self, body: Mapping[str, Any], scope: Scope, depth: int) -> dict[str, Any]:
        inner = scope.within(body, self.is_nested)
        below = {
            occur: each(body[occur], lambda one: self._query(one, inner, depth + 1))
            for occur in OCCURS
            if occur in body
        }
        return {**body, **below}

    def _compound(
        self, name: str, body: Mapping[str, Any], scope: Scope, depth: int
    ) -> dict[str, Any]:
        made = dict(body)
        if name == "nested":
            chunks = self._chunks(str(body.get("path")))
            scope = scope.alone(inside=chunks is not None)
            if chunks is not None:
                made["path"] = chunks
                if isinstance(hits := body.get("inner_hits"), Mapping):
                    made["inner_hits"] = {"name": body["path"], **hits}
        for place in _BELOW[name]:
            if place in body:
                made[place] = each(body[place], lambda one: self._query(one, scope, depth + 1))
        if name == "function_score" and isinstance(body.get("functions"), list):
            made["functions"] = [self._function(one, scope, depth) for one in body["functions"]]
        return made

    def _function(self, function: Any, scope: Scope, depth: int) -> Any:
        if not isinstance(function, Mapping) or "filter" not in function:
            return function
        return {**function, "filter": self._query(function["filter"], scope, depth + 1)}

    # --- leaves: None leaves a query as it is

    def _semantic(self, body: Mapping[str, Any], scope: Scope) -> Any:
        check_semantic(body)
        path = body["field"]
        found = self.fields(path)
        clauses = self._by_meaning(found, body["query"], scope, own_of(body))
        if self._searches_others(found):
            clauses.extend(self._of_other_types(path, body, found))
        return any_of(clauses)

    def _of_other_types(self, path: str, body: Mapping[str, Any], found: Found) -> list[Clause]:
        """What `semantic` finds where its field is not ours."""
        if self._known is None:
            self.unclear[path] = None
            return []
        by_type: dict[str, list[str]] = {}
        for index, kind in self._known.types.get(path, {}).items():
            if index not in found:
                by_type.setdefault(kind, []).append(index)
        clauses = []
        for kind, indices in by_type.items():
            if kind == TYPE:  # the upstream's own
                clauses.append(Clause({"semantic": body}, in_indices(indices)))
            elif body.get("lenient") is not True:
                reason = f"Field [{path}] of type [{kind}] does not support semantic queries"
                clauses.append(Clause(refusal(reason, on_rewriting=True), in_indices(indices)))
        return clauses

    def _match(self, body: Mapping[str, Any], scope: Scope) -> Any:
        path, value = next(iter(body.items()), ("", None))
        found = self.fields(path)
        options = value if isinstance(value, Mapping) else {"query": value}
        text = options.get("query")
        if not found or len(body) != 1 or not isinstance(text, str | int | float):
            return None
        if not takes_match(options):
            return None  # the upstream says why
        text = text if isinstance(text, str) else java_scalar(text)
        clauses = self._by_meaning(found, text, scope, own_of(options))
        return self._with_plain(found, clauses, {"match": body})

    def _exists(self, body: Mapping[str, Any], scope: Scope) -> Any:
        name = str(body.get("field"))
        if scope.inside and (chunks := self._chunks(name.removesuffix(f".{layout.VECTOR}"))):
            return {"exists": {**body, "field": f"{chunks}.{layout.VECTOR}"}}
        paths = self._behind(name)
        if not paths:
            return None
        clauses = [Clause(has_chunks(path, own_of(body))) for path in paths]
        if name not in self._by_path or self._searches_others(self._by_path[name]):
            clauses.append(Clause({"exists": body}))  # which no document of ours meets
        return any_of(clauses)

    def _knn(self, body: Mapping[str, Any], scope: Scope) -> Any:
        own = own_of(body)
        return any_of(
            [
                Clause(refusal(one.problem, on_rewriting=True), one.where)
                if one.problem is not None
                else Clause({"knn": {**one.knn, **own}}, one.where)
                if one.path is None or scope.inside
                else Clause(nested(one.path, {"knn": one.knn}, own), one.where)
                for one in self.nearest(body, scope)
            ]
        )

    def _multi_match(self, body: Mapping[str, Any], scope: Scope) -> Any:
        kind = MULTI_MATCH.get(str(body.get("type")), "match")
        bare = [str(path).partition("^")[0] for path in listed(body.get("fields"))]
        paths = [] if body.get("lenient") is True else bare
        return self._refused(paths, NOT_MATCHED % kind, {"multi_match": body})

    def _unsupported(self, name: str, body: Mapping[str, Any]) -> Any:
        place = "field" if name == "distance_feature" else "fields"
        bare = [str(path).partition("^")[0] for path in listed(body.get(place))]
        return self._refused(bare or list(body), UNSUPPORTED[name], {name: body})

    def _sparse(self, body: Mapping[str, Any], scope: Scope) -> Any:
        found, build = self._of_vectors(body), build_of_tokens(body)
        if build is None and not has_tokens(body):
            return None
        if not found:
            return self._plain_sparse(body, build)
        others = self._searches_others(found)
        is_open = build is not None and build.model_id is None
        if is_open and (others or str(body["field"]) not in self._by_path):
            raise IllegalArgument("inference_id required to perform vector search on query string")
        own, options = own_of(body), options_of_tokens(body)
        clauses = []
        for path, wanted, where in self._parts(found, SparseModel, build):
            query = weighted(layout.vector_path(path), self._tokens(body, wanted), options)
            inner = {"sparse_vector": {**query["sparse_vector"], **own}}
            clauses.append(Clause(inner if scope.inside else nested(path, query, own), where))
        if refused := self._of_others(found, SparseModel, seen=True):
            problem = refusal(_not_of(SparseModel, body), on_rewriting=True)
            clauses.append(Clause(problem, in_indices(refused)))
        if not others:
            return any_of(clauses)
        return self._with_plain(found, clauses, self._plain_sparse(body, build))

    def _plain_sparse(self, body: Mapping[str, Any], build: Build | None) -> Any:
        """A `sparse_vector` on a user's own field: as it is, if it names no endpoint of ours."""
        as_it_is = {"sparse_vector": body}
        if build is None or build.model_id is None:
            return as_it_is
        wanted = self._want(Wanted(build.model_id, build.text))
        if self._known is not None and self._known.vectors.is_elsewhere(wanted):
            return as_it_is
        options = {**options_of_tokens(body), **own_of(body)}
        return weighted(str(body.get("field")), self._tokens(body, wanted), options)

    def _tokens(self, body: Mapping[str, Any], wanted: Wanted | None) -> Any:
        """The weights of a `sparse_vector`: those of a text, or its own."""
        if wanted is None:
            return body.get("query_vector")
        return self._vector_of_task(wanted, SparseModel.task)

    # --- what leaves become

    def _by_meaning(
        self, found: Found, text: str, scope: Scope, own: Mapping[str, Any]
    ) -> list[Clause]:
        """Clauses that find the documents whose chunks are nearest to a text."""
        groups: dict[tuple[str, Wanted, str | None], dict[str, ModelSettings]] = {}
        for index, one in found.items():
            wanted = self._want(Wanted(one.search_inference_id, text))
            self._vector(wanted)  # an error of an endpoint is one, whether it is needed or not
            if one.model is not None:
                problem = self._misfit(one, wanted)
                groups.setdefault((one.path, wanted, problem), {})[index] = one.model
        filters = [self.query(one, scope.alone()) for one in scope.filters]
        clauses = []
        for (path, wanted, problem), models in groups.items():
            if problem is not None:
                clauses.append(Clause(refusal(problem, on_rewriting=True), in_indices(models)))
                continue
            model = next(iter(models.values()))  # as what was made fits all, they are of one kind
            field = layout.vector_path(path)
            query = model.query(field, self._vector(wanted), scope.k, filters)
            where = None if len(groups) == 1 else in_indices(models)
            clauses.append(Clause(nested(path, query, own), where))
        return clauses

    def _misfit(self, one: SemanticField, wanted: Wanted) -> str | None:
        """What keeps what was made of a text from being compared with what a field has."""
        if self._known is None:
            return None
        made = self._known.vectors[wanted]
        return one.misfit(made.task, made.vector)

    def _with_plain(self, found: Found, clauses: list[Clause], plain: Any) -> Any:
        """`clauses` where the field is semantic, `plain` in the other indices."""
        if self._searches_others(found):
            clauses = [*clauses, Clause(plain, not_in_indices(found))]
        return any_of(clauses)

    def _refused(self, paths: Sequence[str], reason: str, plain: Any) -> Any:
        path = next((path for path in paths if path in self._by_path), None)
        if path is None:
            return None
        found = self._by_path[path]
        refused = Clause(refusal(reason.format(path=path)), in_indices(found))
        return self._with_plain(found, [refused], plain)

    def _searches_others(self, found: Found) -> bool:
        """Whether the search goes to other indices than these, too."""
        return self.target.others or len(found) < len(self.target.fields)

    def _of_vectors(self, body: Mapping[str, Any]) -> Found:
        """The semantic field of a `knn`, which may name it by Elasticsearch's own path, too."""
        path = str(body.get("field"))
        return self.fields(path) or self.fields(path.removesuffix(_NATIVE_VECTOR))

    def _chunks(self, path: str) -> str | None:
        """Where the chunks lie of which users know Elasticsearch's own path."""
        found = self.fields(path.removesuffix(f".{layout.NATIVE_CHUNKS}"))
        if not found or path in self._by_path:
            return None
        return layout.chunks_path(next(iter(found.values())).path)

    def _want(self, wanted: Wanted) -> Wanted:
        self.wanted[wanted] = None
        return wanted

    def _vector(self, wanted: Wanted) -> Any:
        return [] if self._known is None else self._known.vectors[wanted].vector

    def _vector_of_task(self, wanted: Wanted, task: TaskType) -> Any:
        return [] if self._known is None else self._known.vectors.of_task(wanted, task)


_LEAVES: Final[Mapping[str, Callable[[Rewriter, Mapping[str, Any], Scope], Any]]] = {
    "semantic": Rewriter._semantic,
    "match": Rewriter._match,
    "multi_match": Rewriter._multi_match,
    "exists": Rewriter._exists,
    "knn": Rewriter._knn,
    "sparse_vector": Rewriter._sparse,
}


def _not_of(kind: type[ModelSettings], body: Mapping[str, Any]) -> str:
    return f"Field [{body.get('field')}] does not use a [{kind.task}] model"
