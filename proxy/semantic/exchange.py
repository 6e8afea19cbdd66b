"""One request that the semantic layer looks at, and the ways to answer it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import urlencode

from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.ground.errors import MediaTypeRejected, PlainError, ProxyError
from proxy.limits.threads import offload
from proxy.rest.body import Body
from proxy.rest.codings import Undecodable
from proxy.rest.mediatypes import media_type
from proxy.rest.request import RestRequest
from proxy.rest.responder import Responder, RestResponse
from proxy.semantic.abilities import Abilities
from proxy.semantic.answerjson import AT_ONCE, check_beginning, document_in, document_of, json_of
from proxy.semantic.chunks import VectorSources
from proxy.semantic.cutting import Replacement, cut_out
from proxy.semantic.encodedanswers import cutting, names_us, telling
from proxy.semantic.guarding import Guard
from proxy.semantic.hiding import hide_in_error
from proxy.semantic.ports import Change, Endpoints, Forwarder, Upstream, UpstreamAnswer
from proxy.semantic.registry import Registry, Target
from proxy.semantic.tasks import Tasks
from proxy.semantic.upstreamrelease import UpstreamRelease
from proxy.telemetry.semantic import SemanticMetrics
from proxy.xcontent.document import Bounds
from proxy.xcontent.loading import load_json, load_plain, stands_alone
from proxy.xcontent.writing import dump_json

_IN_URL: Final = ("source", "source_content_type")  # a body, and its media type
_SOURCE: Final = Bounds(nesting=100, values=10_000)  # of a body in the URL

ReadPieces = Callable[[web.Request, RestRequest], AsyncIterator[bytes]]
ReadBody = Callable[[web.Request, RestRequest], Awaitable[Body]]
Send = Callable[[web.Request, RestResponse], Awaitable[web.StreamResponse]]

# Parameters that shape an answer; those of a patched answer are applied to what was patched.
# `human` is none of them: it has the upstream add fields, which only the upstream can.
_OF_FORM: Final = frozenset(("filter_path", "pretty", "format"))
# Headers of an upstream's answer that a patched one keeps.
_KEPT: Final = (
    "Warning",
    "Retry-After",  # of a gateway
    "X-Elasticsearch-Async-Id",
    "X-Elasticsearch-Async-Is-Running",
)


class Unread(Exception):
    """A body came that cannot be read here; `error` says why, `raw` is the body if all has come."""

    def __init__(self, error: ProxyError, raw: bytes | None) -> None:
        self.error = error
        self.raw = raw


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What every handler works with."""

    upstream: Upstream
    forwarder: Forwarder
    endpoints: Endpoints  # for queries
    document_endpoints: Endpoints
    registry: Registry
    guard: Guard
    abilities: Abilities
    release: UpstreamRelease
    read_body: ReadBody
    read_pieces: ReadPieces
    send: Send
    tasks: Tasks
    metrics: SemanticMetrics
    default_id: str | None  # the endpoint of fields that name none
    vector_sources: VectorSources = field(default_factory=VectorSources)


@dataclass(slots=True, kw_only=True)
class Exchange:
    """A request with what its path says, and its body once that has been read."""

    request: web.Request
    rest: RestRequest
    responder: Responder
    names: Mapping[str, str]  # the parameters of its path, decoded
    parts: Parts
    changes: bool = False  # whether it may change which names lead to semantic fields
    body: Body | None = None
    body_in_url: bool = False
    passed_on: bool = False  # whether the upstream got it as it came

    def take_source(self) -> None:
        """Take a body in the URL for the body, if there is no other. Source: RestRequest."""
        parameters = dict(self.rest.parameters)
        if self.request.body_exists or not set(_IN_URL) <= parameters.keys():
            return
        source, kind = (parameters.pop(name) for name in _IN_URL)
        sent = CIMultiDictProxy(CIMultiDict({"Content-Type": kind}))
        with suppress(MediaTypeRejected):  # the upstream says so
            self.rest = replace(
                self.rest,
                target=self.rest.path + _query(parameters),
                parameters=parameters,
                content_type=media_type(sent, "Content-Type"),
            )
            self.body = Body(self.rest, b"", source.encode(), _SOURCE)
            self.body_in_url = True

    async def settle(self) -> None:
        """Take note of what the request has changed, before its caller is answered."""
        if self.changes:
            self.changes = False
            await self.parts.registry.changed()

    async def read(self) -> bytes:
        """The body, decoded. Raises: Unread; ProxyError where it is too large, or does not come."""
        if self.body is None:
            try:
                self.body = await self.parts.read_body(self.request, self.rest)
            except Undecodable as error:
                raise Unread(error, error.raw) from None
        return self.body.data

    async def document(self, *, alone: bool = False) -> Any:
        """The body as dicts, lists and scalars; None for one that Elasticsearch cannot read.

        Some of its readers take only a body that has nothing behind its first value.
        """
        data, sent = await self.read(), self.rest.content_type
        if not data or self.body is None or sent is None or sent.format is None:
            return None
        body = self.body
        if body.is_json and (plain := load_plain(data, body.bounds)) is not None:
            return plain
        found = await offload(len(data), AT_ONCE, lambda: body.document(lone_surrogates=True))
        if found.error is not None or found.root is None or (alone and not stands_alone(found)):
            return None
        return found.root.plain()

    def refuse_smile(self) -> None:
        """Refuse a body that the upstream would read, and nobody here can. Raises: Unread."""
        sent = self.rest.content_type
        if sent is not None and sent.is_smile:
            error = PlainError(406, f"Content-Type header [{sent}] is not supported")
            raise Unread(error, self._raw())

    async def in_json(self, answer: UpstreamAnswer) -> UpstreamAnswer:
        """An answer in the format that the caller wants, as JSON. Raises: PlainError for SMILE."""
        if self.wants_json:
            return answer
        if self.responder.format == "json":
            raise PlainError(406, f"Accept header [{self.rest.accept}] is not supported")
        size = len(answer.body)
        return await offload(size, AT_ONCE, lambda: json_of(answer, self.responder.format))

    async def json(self) -> bytes:
        """The body as JSON, whatever form it came in; empty where there is none."""
        data = await self.read()
        sent = self.rest.content_type
        if not data or sent is None or sent.format in (None, "json"):
            return data
        return dump_json(await self.document())

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body piece by piece, decoded. Raises: as `read`."""
        async for piece in self.parts.read_pieces(self.request, self.rest):
            yield piece

    async def hand_on(self) -> web.StreamResponse:
        """The upstream's answer to the request as it came."""
        self.passed_on = True
        return await self.parts.forwarder.hand_on(self.request, self._raw(), self.settle)

    async def hand_on_as_plain(self, found: Target) -> web.StreamResponse:
        """As `hand_on`, where what is `found` has no field of ours.

        What stands for no index may stand for one once the upstream is asked, may be spelled in a
        way that only the upstream understands, or be out of the proxy's sight.
        """
        is_plain = found.exists and found.is_clear
        return await (self.hand_on() if is_plain else self.hand_on_unread())

    async def hand_on_unread(self) -> web.StreamResponse:
        """As `hand_on`, for what nobody here can read, and the upstream should refuse.

        Where it does not, nothing of ours is in its answer.
        """
        if self.wants_json:
            self.passed_on = True
            forwarder = self.parts.forwarder
            return await forwarder.hand_on(self.request, self._raw(), self.settle, cutting())
        found = await self.hand_on_unless(names_us, too_large=cutting())
        if isinstance(found, web.StreamResponse):
            return found
        answer = await self.in_json(found)
        document = await offload(
            len(answer.body), AT_ONCE, lambda: document_in(cut_out(answer.body), answer.status)
        )
        return await self.answer(answer, document)

    async def hand_on_unless(
        self, is_told: Callable[[bytes], bool], too_large: Change | None = None
    ) -> web.StreamResponse | UpstreamAnswer:
        """As `hand_on`, unless the answer is one that `is_told`, which is returned then.

        `too_large` is what is done to the JSON of one that cannot be read as a whole.
        """
        found = await self.parts.forwarder.hand_on_unless(
            self.request, self._raw(), telling(is_told), too_large if self.wants_json else None
        )
        self.passed_on = isinstance(found, web.StreamResponse)
        return found

    async def hand_on_pieces(
        self, pieces: AsyncIterator[bytes], is_whole: Callable[[], bool]
    ) -> web.StreamResponse | UpstreamAnswer:
        """As `hand_on`, for a body that comes in these pieces, and where JSON is wanted.

        The answer is returned if they are not the whole body in the end.
        """
        found = await self.parts.forwarder.hand_on_pieces(self.request, pieces, is_whole)
        self.passed_on = isinstance(found, web.StreamResponse)
        return found

    def _raw(self) -> bytes | None:
        """The body as it came, if it has been read."""
        return self.body.raw if self.body is not None and not self.body_in_url else None

    async def hand_on_as(self, *, target: str, body: bytes | None = None) -> web.StreamResponse:
        """The upstream's answer to the request with another target, and perhaps another body."""
        raw = None if self.body is None else self.body.data
        return await self.parts.forwarder.hand_on_as(
            self.request, target, raw if body is None else body, answered=self.settle
        )

    async def hand_on_changed(
        self, change: Change | None, body: bytes | None = None
    ) -> web.StreamResponse:
        """As `hand_on`, with another body unless that is None, and a change of the answer."""
        if body is None:
            self.passed_on = True
            return await self.parts.forwarder.hand_on(
                self.request, self._raw(), self.settle, change
            )
        return await self.parts.forwarder.hand_on_as(
            self.request, self.rest.target, body, change, self.settle
        )

    async def hand_on_cut(
        self,
        *,
        parameters: Mapping[str, str] | None = None,
        body: bytes | None = None,
        replacement: Replacement | None = None,
        source_of: str | None = None,
    ) -> web.StreamResponse:
        """As `hand_on_as`, without what the layer added to the answer; see Cutter.

        `parameters` replace those of the request.
        """
        sent = self.rest.content_type
        is_as_sent = parameters is None and body is None and not self.body_in_url
        change = cutting(replacement, source_of)
        if self.wants_json and is_as_sent:
            return await self.parts.forwarder.hand_on(
                self.request, self._raw(), self.settle, change
            )
        if self.wants_json and (body is None or (sent is not None and sent.format == "json")):
            return await self.parts.forwarder.hand_on_as(
                self.request,
                self.rest.target if parameters is None else self.rest.path + _query(parameters),
                self.body.data if body is None and self.body is not None else body,
                change,
                self.settle,
            )
        if is_as_sent and self.rest.method == "GET":
            found = await self.hand_on_unless(names_us)
            if isinstance(found, web.StreamResponse):
                return found
        target = self.target_with(self.rest.parameters if parameters is None else parameters)
        answer = await self.ask(await self.json() if body is None else body, target=target)
        document = await offload(
            len(answer.body),
            AT_ONCE,
            lambda: document_in(cut_out(answer.body, replacement, source_of), answer.status),
        )
        return await self.answer(answer, document)

    async def as_is(self, answer: UpstreamAnswer) -> web.StreamResponse:
        """The upstream's answer as it came; decoded anew only where the caller wants a form."""
        check_beginning(answer)
        if self.wants_no_form:
            size, body = len(answer.body), answer.body
            made = await offload(size, AT_ONCE, lambda: self.responder.ready(answer.status, body))
            return await self._sent(made, answer.headers)
        return await self.patched(answer, lambda document: document)

    async def ask(
        self, body: Any = None, *, target: str | None = None, method: str | None = None
    ) -> UpstreamAnswer:
        """The upstream's answer to the caller's request with another body, or another target."""
        data = b"" if body is None else body if isinstance(body, bytes) else dump_json(body)
        return await self.parts.upstream.ask_as_caller(
            self.request, method or self.rest.method, target or self.unshaped_target(), data
        )

    async def ask_unless_large(
        self, body: bytes, *, target: str, too_large: Change | None
    ) -> UpstreamAnswer | web.StreamResponse:
        """As `ask`; the JSON of an answer that is too large to be read passes, with that change."""
        if not self.wants_no_form:
            return await self.ask(body, target=target)
        return await self.parts.forwarder.ask_unless_large(
            self.request, self.rest.method, target, body, too_large
        )

    def with_parameters(self, parameters: Mapping[str, str]) -> Exchange:
        """The request with these parameters in place of its own."""
        target = self.target_with(parameters)
        return replace(self, rest=replace(self.rest, target=target, parameters=parameters))

    def unshaped_target(self, **more: str) -> str:
        """The request's target without what shapes its answer, and with `more` parameters."""
        return self.target_with({**self.rest.parameters, **more})

    def target_with(self, parameters: Mapping[str, str]) -> str:
        """The request's path with these parameters, but for those that shape its answer.

        Errors quote it: where these are the request's own, it is as it was sent.
        """
        kept = {name: value for name, value in parameters.items() if name not in _OF_FORM}
        return self.rest.target if kept == self.rest.parameters else self.rest.path + _query(kept)

    @property
    def wants_no_form(self) -> bool:
        """Whether the caller wants an answer as the upstream gives it if nothing is asked for."""
        return _OF_FORM.isdisjoint(self.rest.parameters) and self.wants_json

    @property
    def wants_json(self) -> bool:
        """Whether the caller gets JSON, from the upstream as well.

        Which answers in the form of the body where it is asked for no other one that it knows.
        """
        forms = (self.rest.accept, self.rest.content_type)
        may_be_smile = "smile" in self.rest.parameters.get("format", "").lower() or any(
            form is not None and form.is_smile for form in forms
        )
        return self.responder.format == "json" and not may_be_smile

    async def made(self, status: int, document: Any, **headers: str) -> web.StreamResponse:
        """An answer of our own making, in the form that the caller wants."""
        made = self.responder.document(status, document)
        made.headers.update(headers)
        return await self._sent(made, {})

    async def streamed(self, pieces: Iterator[bytes], *, is_large: bool) -> web.StreamResponse:
        """A 200 of our own making whose JSON comes in pieces, in the form that the caller wants."""
        if not is_large and self.wants_no_form:
            data = b"".join(pieces)
            made = await offload(len(data), AT_ONCE, lambda: self.responder.ready(200, data))
            return await self._sent(made, {})
        if not self.wants_no_form:
            data = b"".join(pieces)
            document = await offload(len(data), AT_ONCE, lambda: load_json(data))
            made = await offload(len(data), AT_ONCE, lambda: self.responder.document(200, document))
            return await self._sent(made, {})
        headers = self.responder.document_headers(200)
        await self.settle()
        response = web.StreamResponse(headers=headers)
        await response.prepare(self.request)
        for piece in pieces:
            await response.write(piece)
        await response.write_eof()
        return response

    async def answer(self, answer: UpstreamAnswer, document: Any) -> web.StreamResponse:
        """`document` in the form that the caller wants, with what is left of the upstream's."""
        size = len(answer.body)
        made = await offload(
            size, AT_ONCE, lambda: self.responder.document(answer.status, document)
        )
        return await self._sent(made, answer.headers)

    async def _sent(self, made: RestResponse, upstream: Mapping[str, str]) -> web.StreamResponse:
        """An answer once it is sent, with what is kept of the `upstream`'s headers."""
        for name in _KEPT:
            if name in upstream:
                made.headers[name] = upstream[name]
        await self.settle()
        return await self.parts.send(self.request, made)

    async def shown(self, patch: Callable[[Any], Any]) -> web.StreamResponse:
        """The upstream's answer as it came, or as `patch` returns it where it tells of us.

        What is wrong is told in the user's words. One that tells of us, but was not asked for as
        it can be patched, is asked for once more: the request changes nothing.
        """
        if "filter_path" not in self.rest.parameters:
            found = await self.hand_on_unless(names_us)
            if isinstance(found, web.StreamResponse):
                return found
            if self.wants_no_form:
                return await self.repaired(found, patch)
        answer = await self.ask(await self.json() or None)
        return await (self.repaired(answer, patch) if names_us(answer.body) else self.hand_on())

    async def repaired(
        self, answer: UpstreamAnswer, patch: Callable[[Any], Any]
    ) -> web.StreamResponse:
        """As `patched`; what is wrong is told in the user's words."""
        return await self.patched(answer, hide_in_error if answer.status >= 300 else patch)

    async def revised(
        self, answer: UpstreamAnswer, patch: Callable[[Any], Any], *, is_as_sent: bool = True
    ) -> web.StreamResponse:
        """As `repaired`, for a request that changes nothing; as it came where `patch` does not.

        `is_as_sent` says whether the upstream was asked what the caller asks.
        """
        document = await offload(len(answer.body), AT_ONCE, lambda: document_of(answer))
        change = hide_in_error if answer.status >= 300 else patch
        made = await offload(len(answer.body), AT_ONCE, lambda: change(document))
        if is_as_sent and made == document:
            return await self.hand_on()
        return await self.answer(answer, made)

    async def patched(
        self, answer: UpstreamAnswer, patch: Callable[[Any], Any]
    ) -> web.StreamResponse:
        """The upstream's answer, with its document as `patch` returns it."""
        document = await offload(len(answer.body), AT_ONCE, lambda: patch(document_of(answer)))
        return await self.answer(answer, document)


def _query(parameters: Mapping[str, str]) -> str:
    return f"?{urlencode(parameters)}" if parameters else ""
