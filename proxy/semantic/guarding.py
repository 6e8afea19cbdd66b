"""Whether a caller may write to an index or search it: asked before anything is spent on it.

Elasticsearch itself checks what is sent to it, but that is after the texts have been embedded.
Field-level security hides the vectors of a field, or the field itself, each by its own name: where
a role grants only one of them, Elasticsearch would find nothing, or show more than it may.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from aiohttp import web

from proxy.ground.authorization import (
    CREDENTIAL_HEADERS,
    Action,
    Allowed,
    CredentialHash,
    IndexAction,
    Verdict,
)
from proxy.ground.errors import ProxyError, Unauthorized, UpstreamUnavailable
from proxy.inference.actions import InferenceAction
from proxy.semantic import expressions, layout
from proxy.semantic.answerjson import object_of
from proxy.semantic.bounded import Bounded
from proxy.semantic.ports import Permissions, Upstream, UpstreamAnswer
from proxy.semantic.registry import Part, Target
from proxy.semantic.targets import WriteTarget

_FRESHNESS: Final = 2.0  # seconds that an answer about fields holds, as one about privileges does
_REMEMBERED: Final = 1_000
_EVERYTHING: Final = Part(names=("*",), is_pattern=True)  # for what names no index
_PROBE: Final = "/{}/_search?size=0&track_total_hits=false&terminate_after=1&filter_path=_shards"

Names = Sequence[Sequence[str]]


def _names(parts: Iterable[Part]) -> Names:
    return [part.names for part in parts]


def _search(names: Names) -> IndexAction:
    return IndexAction(value="indices:data/read/search", granted_by=("read", "all"), indices=names)


def _bulk(names: Names) -> IndexAction:
    granting = ("create_doc", "create", "delete", "index", "write", "all")
    return IndexAction(value="indices:data/write/bulk[s]", granted_by=granting, indices=names)


def _indexing(names: Names) -> IndexAction:
    granting = ("create_doc", "create", "index", "write", "all")
    return IndexAction(
        value="indices:data/write/index",
        granted_by=granting,
        indices=names,
        privilege="create_doc",
    )


def _making(names: Names) -> IndexAction:
    granting = ("auto_configure", "create_index", "manage", "all")
    return IndexAction(value="indices:admin/auto_create", granted_by=granting, indices=names)


def _writing(action: str, names: Names) -> IndexAction:
    """Source: AuthorizationService.getAction, for the items of a bulk request."""
    match action:
        case "create":
            return IndexAction(
                value="indices:data/write/index:op_type/create",
                granted_by=("create_doc", "create", "index", "write", "all"),
                indices=names,
                # Asked for by name, the action would have to be granted with all it may begin.
                privilege="create_doc",
            )
        case "update":
            return IndexAction(
                value="indices:data/write/update",
                granted_by=("index", "write", "all"),
                indices=names,
            )
    return IndexAction(
        value="indices:data/write/index:op_type/index",
        granted_by=("create", "index", "write", "all"),
        indices=names,
    )


_NO_INDEX: Final = b"index_not_found_exception"  # and not that its shards recover


class Guard:
    """Asks about the caller of a request, with its own credentials."""

    def __init__(
        self,
        permissions: Permissions,
        upstream: Upstream,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._permissions = permissions
        self._upstream = upstream
        self._clock = clock
        self._hash = CredentialHash()
        self._covered: Bounded[bytes, float] = Bounded(_REMEMBERED)  # until when, by caller

    async def searchable(self, request: web.Request, target: Target) -> Target:
        """What of a target the caller may search: of its patterns perhaps not all.

        Raises: Unauthorized; Unauthenticated; UpstreamError where nobody can tell.
        """
        parts = target.parts or (_EVERYTHING,)
        verdict = await self._check(request, _search(_names(parts)))
        if isinstance(verdict, Allowed):
            if verdict.authenticated:
                await self._check_fields(request, target)
            return target
        denied = [part for part in parts if part.names in verdict.lacking] or list(parts)
        unseen = [part for part in denied if part.is_pattern and part.indices]
        refused = [part for part in denied if part not in unseen]
        named = [part for part in refused if not part.is_pattern]
        if named or (refused and not await self._sees_any(request, refused)):
            verdict = await self._check(request, _search(_names(named or refused)))
            if not isinstance(verdict, Allowed):
                raise await verdict.error()
        return target.restricted(unseen) if unseen else target

    async def _sees_any(self, request: web.Request, patterns: Sequence[Part]) -> bool:
        """Whether the caller may search any index of these patterns, as Elasticsearch has it."""
        expression = expressions.in_path(",".join(name for part in patterns for name in part.names))
        answer = await self._upstream.ask_as_caller(request, "POST", _PROBE.format(expression))
        return answer.status == 200 and object_of(answer)["_shards"]["total"] > 0

    async def refusal(
        self, request: web.Request, action: str, target: WriteTarget, *, is_single: bool
    ) -> ProxyError | None:
        """Why the caller may not write there; None if it may. Raises: as `searchable`.

        `action` is that of a bulk item; `is_single` for a document in a request of its own.
        """
        names = _names(target.parts)
        needed = [_writing(action, names)]
        if target.index is None:
            needed.append(_making(names))
        for one in needed:
            verdict = await self._verdict(request, one)
            if not isinstance(verdict, Allowed):
                # Who may not write at all is told so, and not of the kind of item.
                if is_single and action == "update":
                    return verdict
                general = _indexing if is_single else _bulk
                at_all = await self._verdict(request, general(names))
                return verdict if isinstance(at_all, Allowed) else at_all
        return None

    async def check_inference(self, request: web.Request) -> None:
        """Return if the caller may use endpoints by themselves. Raises: as `searchable`."""
        verdict = await self._check(request, InferenceAction.POST)
        if not isinstance(verdict, Allowed):
            raise await verdict.error()

    async def _check(self, request: web.Request, action: Action) -> Verdict:
        return await self._permissions.check(request.headers, request.raw_path, action)

    async def _verdict(self, request: web.Request, action: IndexAction) -> Allowed | ProxyError:
        verdict = await self._check(request, action)
        return verdict if isinstance(verdict, Allowed) else await verdict.error()

    async def _check_fields(self, request: web.Request, target: Target) -> None:
        """Whether the caller sees either both of a field and its vectors, or neither."""
        paths = sorted({path for fields in target.fields.values() for path in fields})
        credentials = [(name, request.headers.getall(name, [])) for name in CREDENTIAL_HEADERS]
        key = self._hash.of((credentials, target.name, sorted(target.fields), paths))
        asked_at = self._clock()
        if self._covered.get(key, 0.0) > asked_at:
            return
        for joined in expressions.batches(sorted(target.fields), 2000):
            names = ",".join(f"{path},{_part(path)}" for path in paths)
            answer = await self._upstream.ask_as_caller(
                request,
                "GET",
                f"/{expressions.in_path(joined)}/_field_caps?fields={quote(names, safe=',')}"
                "&include_unmapped=true&ignore_unavailable=true&expand_wildcards=all",
            )
            if answer.status == 403 or (answer.status == 404 and _NO_INDEX in answer.body):
                continue  # an index that the search leaves out for this caller
            _check_answer(answer, paths, target)
        self._covered.pop(key, None)
        self._covered.keep(key, asked_at + _FRESHNESS)


def _part(path: str) -> str:
    """A part of a field's chunks that is mapped from the beginning."""
    return f"{layout.chunks_path(path)}.start"


def _check_answer(answer: UpstreamAnswer, paths: Sequence[str], target: Target) -> None:
    if answer.status != 200:
        problem = f"upstream node answered {answer.status} to a question about fields"
        raise UpstreamUnavailable(problem)
    document = object_of(answer)
    for path in paths:
        concerned = {index for index, fields in target.fields.items() if path in fields}
        field = _visible(document, path) & concerned
        vectors = _visible(document, _part(path)) & concerned
        if field - vectors:
            raise Unauthorized(
                f"field [{path}] of type [semantic_text] cannot be searched: field-level security "
                "grants the field, but not what the proxy keeps for its meaning; the role needs "
                "both, as the proxy's documentation describes"
            )
        if vectors - field:
            raise Unauthorized(
                f"field [{path}] of type [semantic_text] cannot be searched: field-level security "
                "does not grant it"
            )


def _visible(document: Mapping[str, Any], path: str) -> set[str]:
    """The indices in which a caller sees a field. Source: FieldCapabilitiesResponse."""
    types = document.get("fields", {}).get(path, {})
    return {
        index
        for kind, entry in types.items()
        if kind != "unmapped"
        for index in entry.get("indices", document.get("indices", ()))
    }
