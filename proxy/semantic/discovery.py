"""What the upstream is asked about semantic fields, with the proxy's own credentials.

An Elasticsearch that comes back from a crash shows no index at first, and then indices whose shards
cannot be asked. Questions about metadata wait until it has recovered, unless they name an index and
insist on it; those about shards, such as `_field_caps`, answer 200 or 404 with nothing in it. So no
failure is taken for an answer, and neither is silence where it may be a failure.

Measured against Elasticsearch 9.2.4 with 1,000 indices of 200 fields each, on a busy machine: the
state is told in 3 ms, and which indices declare fields in 20 ms. Reading that from the mappings
would take 250 ms.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, Final

from proxy.ground.errors import UpstreamBroken, UpstreamUnavailable
from proxy.limits.threads import offload
from proxy.semantic import expressions
from proxy.semantic.answerjson import AT_ONCE, object_of
from proxy.semantic.errors import OwnCredentialsRefused
from proxy.semantic.fields import Fields
from proxy.semantic.mappings import fields_of
from proxy.semantic.ports import Upstream, UpstreamAnswer
from proxy.semantic.told import is_forbidden, told_by

log: Final = logging.getLogger(__name__)

_VERSION: Final = "/_cluster/state/version?filter_path=state_uuid"
_OURS: Final = "properties.xinf.properties.*.properties.def*.type"
# Answered for all indices of equal mappings at once. Only shards that are started are asked.
_OPEN: Final = (
    "/_all/_field_caps?fields=xinf.*.def*&include_unmapped=true&expand_wildcards=open,hidden"
    "&filter_path=indices,failures.indices,fields.*.keyword"
)
_OTHERS: Final = f"/{{}}/_mapping?{{}}&filter_path=*.mappings.{_OURS}"
# What may declare fields of indices to come: where, and the privilege to read it.
_TEMPLATES: Final = (
    f"/_index_template?filter_path=index_templates.index_template.template.mappings.{_OURS}",
    "/_component_template?filter_path="
    f"component_templates.component_template.template.mappings.{_OURS}",
    f"/_template?filter_path=*.mappings.{_OURS}",
)
_RESOLVE: Final = "?expand_wildcards=all&features=aliases&filter_path=*.aliases,*.data_stream"
_MAPPINGS: Final = "/{}/_mapping?expand_wildcards=all&ignore_unavailable=true"
_SETTINGS: Final = "/{}/_settings?ignore_unavailable=true&filter_path=*.settings.index.*_pipeline"
_STREAM: Final = "/_data_stream/{}?filter_path=data_streams.indices.index_name"
_ALIAS: Final = "/_alias/{}"
_SIMULATE: Final = "/_index_template/_simulate_index/{}"
_LEGACY: Final = (
    "/_template?filter_path=*.index_patterns,*.order,*.mappings,*.settings.index.*_pipeline"
)
_PATH: Final = 3000  # characters; Elasticsearch takes request lines of 4096

STATE, METADATA, TEMPLATES = "monitor", "view_index_metadata", "manage_index_templates"
_BLIND: Final = {
    STATE: "changes by others are looked for by reading all mappings, again and again",
    METADATA: "semantic fields are not served in indices whose mappings it may not read",
    TEMPLATES: "semantic fields of templates are seen once there is an index with them",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """Where semantic fields are declared."""

    indices: frozenset[str]
    templates: bool  # whether in any template

    def __bool__(self) -> bool:
        return bool(self.indices) or self.templates


@dataclass(frozen=True, slots=True, kw_only=True)
class Concrete:
    """An index that an expression stands for."""

    aliases: Mapping[str, Mapping[str, Any]]
    data_stream: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What an expression stands for; `name` is the expression, with its date computed."""

    name: str
    indices: Mapping[str, Concrete]

    def has_all_of(self, expression: str) -> bool:
        """Whether it has something of each name in the expression, patterns aside.

        Others may be made at any moment, or be out of the proxy's sight.
        """
        parts = expressions.parts_of(expression)
        if len(parts) == 1:  # else there would be none
            return bool(self.indices)
        named = {
            expressions.without_selector(part)
            for part in parts
            if not (expressions.is_pattern(part) or expressions.is_exclusion(part))
        }
        for index, one in self.indices.items():
            named -= {index, *one.aliases, one.data_stream or index}
        return not named


@dataclass(frozen=True, slots=True, kw_only=True)
class ToCome:
    """What an index will have that is not there yet."""

    fields: Fields = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


class Cluster:
    """Puts the questions. All raise UpstreamError where there is no answer."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._lacking: set[str] = set()  # privileges of which the log tells
        self._has_features = True  # of `GET /{index}`: since 8.4

    async def state(self) -> str | None:
        """What identifies the cluster's present state; None where the proxy may not ask.

        It changes with every mapping, alias and template, and with no document. The master tells,
        and other nodes have applied what it has, so what is read afterwards is not older.
        Raises: OwnCredentialsRefused; UpstreamError.
        """
        answer = await self._upstream.ask_as_proxy("GET", _VERSION)
        if answer.status == 401:
            raise OwnCredentialsRefused
        if self._is_lacking(answer, STATE):
            return None
        state = told_by(answer).get("state_uuid")
        if not isinstance(state, str):
            raise UpstreamUnavailable("upstream node did not tell its cluster's version")
        return state

    async def declared(self) -> Declared:
        """Where semantic fields are declared, in the whole cluster."""
        found = await self._declaring_open()
        found |= await self._declaring_others("_all", "expand_wildcards=closed,hidden")
        return Declared(indices=frozenset(found), templates=await self._are_in_templates())

    async def _declaring_open(self) -> set[str]:
        answer = await self._upstream.ask_as_proxy("GET", _OPEN)
        if self._is_lacking(answer, METADATA):
            return set()
        told = await offload(len(answer.body), AT_ONCE, partial(_declaring, answer))
        if told is None:  # none was asked: their mappings may be there all the same
            return await self._declaring_others("_all", "expand_wildcards=open,hidden")
        found, failed = told
        for joined in expressions.batches(sorted(failed), _PATH):
            found |= await self._declaring_others(joined, "ignore_unavailable=true")
        return found

    async def _declaring_others(self, expression: str, options: str) -> set[str]:
        """Those of an expression that have no shards to be asked."""
        target = _OTHERS.format(expressions.in_path(expression), options)
        answer = await self._upstream.ask_as_proxy("GET", target)
        if answer.status == 404 or is_forbidden(answer):
            return set()
        return set(await offload(len(answer.body), AT_ONCE, partial(told_by, answer)))

    async def _are_in_templates(self) -> bool:
        for target in _TEMPLATES:
            answer = await self._upstream.ask_as_proxy("GET", target)
            # 404: there is no template at all; 400, 405: no such kind of template.
            if answer.status in (400, 404, 405) or self._is_lacking(answer, TEMPLATES):
                continue
            if told_by(answer):
                return True
        return False

    async def resolve(self, expression: str) -> Resolved:
        """Which indices an expression stands for, hidden and closed ones included.

        None at all for one that Elasticsearch does not take, which it tells the caller by itself,
        and where the proxy may not look, as at indices that Elasticsearch keeps for itself.
        """
        if len(expressions.in_path(expression)) <= _PATH:
            return await self._resolve(expression)
        # Too long for a path, as lists in bodies may be. What is excluded is excluded in its part.
        found: dict[str, Concrete] = {}
        for joined in expressions.batches(expressions.parts_of(expression), _PATH):
            found |= (await self._resolve(joined)).indices
        return Resolved(name=expression, indices=found)

    async def _resolve(self, expression: str) -> Resolved:
        path = f"/{expressions.in_path(expression)}{_RESOLVE}"
        is_dated = expressions.parts_of(expression) == [expression] and expressions.is_date_math(
            expression
        )
        if not is_dated:
            path += "&ignore_unavailable=true"  # else the error has the name of what is missing
        if not self._has_features:
            path = path.replace("&features=aliases", "")
        answer = await self._upstream.ask_as_proxy("GET", path)
        if answer.status == 400 and self._has_features and b"[features]" in answer.body:
            self._has_features = False
            return await self._resolve(expression)
        if answer.status == 404 and is_dated:
            return await self._missing(expression, _missing_name(answer) or expression)
        if answer.status in (400, 404) or is_forbidden(answer):
            return Resolved(name=expression, indices={})
        size = len(answer.body)
        found = await offload(size, AT_ONCE, lambda: _concrete(told_by(answer)))
        name = next(iter(found)) if is_dated and len(found) == 1 else expression
        return Resolved(name=name, indices=found)

    async def _missing(self, expression: str, name: str) -> Resolved:
        """What a date stands for that is said to be missing, by an answer that did not wait."""
        path = f"/{expressions.in_path(expression)}{_RESOLVE}&ignore_unavailable=true"
        answer = await self._upstream.ask_as_proxy("GET", path)
        if told_by(answer):
            raise UpstreamUnavailable("upstream node has not recovered")
        return Resolved(name=name, indices={})

    async def newest_of(self, stream: str) -> str | None:
        """The index of a data stream that takes its documents."""
        told = await self._told(_STREAM.format(expressions.in_path(stream)))
        for found in told.get("data_streams", ()):
            return str(found["indices"][-1]["index_name"])
        return None

    async def written_stream(self, alias: str) -> str | None:
        """The data stream, of those an alias leads to, that takes what is written to it."""
        told = await self._told(_ALIAS.format(expressions.in_path(alias)))
        for stream, entry in told.items():
            if entry.get("aliases", {}).get(alias, {}).get("is_write_index"):
                return stream
        return None

    async def fields(self, indices: Collection[str]) -> dict[str, Fields]:
        """The semantic fields of these concrete indices, as far as the indices are still there."""
        found: dict[str, Fields] = {}
        for joined in expressions.batches(sorted(indices), _PATH):
            path = _MAPPINGS.format(expressions.in_path(joined))
            answer = await self._upstream.ask_as_proxy("GET", path)
            if is_forbidden(answer):
                found |= {name: {} for name in joined.split(",")}
            elif answer.status != 404:
                found |= await offload(len(answer.body), AT_ONCE, partial(_fields, answer))
        return found

    async def settings(self, expression: str) -> dict[str, Mapping[str, Any]]:
        """The settings of existing indices that name their pipelines, of those that have any."""
        found = await self._told(_SETTINGS.format(expressions.in_path(expression)))
        return {index: _index_settings(entry) for index, entry in found.items()}

    async def _told(self, target: str) -> dict[str, Any]:
        """What the upstream tells; nothing where the proxy may not look."""
        answer = await self._upstream.ask_as_proxy("GET", target)
        return {} if is_forbidden(answer) else told_by(answer)

    async def to_come(self, name: str) -> ToCome:
        """What templates give an index that writing to `name` makes."""
        path = _SIMULATE.format(expressions.in_path(name))
        answer = await self._upstream.ask_as_proxy("POST", path)
        if self._is_lacking(answer, TEMPLATES) or answer.status in (400, 404, 405):
            return ToCome()
        found = told_by(answer)
        if "template" not in found:
            # Only where there is no such template, Elasticsearch looks for legacy ones.
            answer = await self._upstream.ask_as_proxy("GET", _LEGACY)
            if self._is_lacking(answer, TEMPLATES) or answer.status == 404:
                return ToCome()
            found["template"] = _merged(name, told_by(answer))
        made = found["template"]
        return ToCome(fields=fields_of(made.get("mappings", {})), settings=_index_settings(made))

    def _is_lacking(self, answer: UpstreamAnswer, privilege: str) -> bool:
        """Whether the proxy's own credentials do not suffice for what was asked; said once."""
        if not is_forbidden(answer):
            return False
        if privilege not in self._lacking:
            self._lacking.add(privilege)
            log.warning(
                "the proxy's own credentials lack the privilege [%s]: %s",
                privilege,
                _BLIND[privilege],
            )
        return True


def _declaring(answer: UpstreamAnswer) -> tuple[set[str], set[str]] | None:
    """The indices that declare fields, and those that could not be asked; None if none could."""
    document = told_by(answer) if answer.status == 200 else {}
    found: set[str] = set()
    for types in document.get("fields", {}).values():
        if "keyword" in types:  # without a list of indices, it is in all of them
            found.update(types["keyword"].get("indices", document.get("indices", ())))
    failed = {name for failure in document.get("failures", ()) for name in failure["indices"]}
    return (found, failed) if document.get("indices") or failed else None


def _concrete(document: Mapping[str, Any]) -> dict[str, Concrete]:
    return {
        name: Concrete(aliases=index.get("aliases", {}), data_stream=index.get("data_stream"))
        for name, index in document.items()
    }


def _fields(answer: UpstreamAnswer) -> dict[str, Fields]:
    return {name: fields_of(index["mappings"]) for name, index in told_by(answer).items()}


def _merged(name: str, templates: Mapping[str, Any]) -> dict[str, Any]:
    """What legacy templates give an index together; of two, the one of higher order holds."""
    matching = [
        template
        for template in templates.values()
        if any(fnmatchcase(name, pattern) for pattern in template.get("index_patterns", ()))
    ]
    merged: dict[str, Any] = {}
    for template in sorted(matching, key=lambda one: int(one.get("order", 0))):
        parts = {part: template[part] for part in ("mappings", "settings") if part in template}
        merged = _deeply(merged, parts)
    return merged


def _deeply(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Source: XContentHelper.mergeDefaults, as MetadataCreateIndexService uses it."""
    merged = {**old, **new}
    for key, value in new.items():
        if isinstance(value, Mapping) and isinstance(old.get(key), Mapping):
            merged[key] = _deeply(old[key], value)
    return merged


def _missing_name(answer: UpstreamAnswer) -> str | None:
    try:
        name = object_of(answer)["error"]["index"]
    except (UpstreamBroken, KeyError, TypeError):
        return None
    return name if isinstance(name, str) else None


def _index_settings(holder: Mapping[str, Any]) -> Mapping[str, Any]:
    found = holder.get("settings", {}).get("index", {})
    return found if isinstance(found, Mapping) else {}
