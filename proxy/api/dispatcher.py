"""A request's way to its handler and back, in Elasticsearch's order of checks.

Authentication, origin, route, content type, path, body, parameters, validation, authorization,
action: the first that fails is what the caller is told. Requests for what is unknown here go
upstream.
Source: RestController, BaseRestHandler, SecurityRestFilter.
"""

from __future__ import annotations

from collections.abc import Awaitable
from functools import partial
from typing import Any, Final

import orjson
from aiohttp import web

from proxy.api.answers import (
    allowed_methods,
    document,
    ended_by_origin,
    send_document,
)
from proxy.api.asked import Asked, asked_by
from proxy.api.bodies import read_body, unread_body
from proxy.api.call import Call
from proxy.api.keys import BODY, ORIGIN_HEADERS, RESPONDER, ROUTE
from proxy.api.ports import Authorizer, OriginJudge, Upstream
from proxy.api.routes import Route
from proxy.api.streaming import send_events
from proxy.config import LimitsConfig
from proxy.ground.authorization import Allowed, Permission, Verdict
from proxy.ground.crossorigin import UNAFFECTED
from proxy.ground.errors import NoHandler, NoInferenceFeature, NotOurs
from proxy.inference.ports import Dependents
from proxy.inference.releases import Profile
from proxy.inference.service import InferenceService
from proxy.limits.calls import Caller, CallLimits, address_of_caller, caller_of
from proxy.limits.memory import PER_FETCHED_BYTE, count_for, reserve
from proxy.limits.threads import Threads, offload
from proxy.limits.turns import Turns
from proxy.rest.body import Body
from proxy.rest.request import RestRequest
from proxy.rest.responder import RestResponse
from proxy.rest.routing import wrong_method
from proxy.xcontent.document import Bounds

_READ_AT_ONCE: Final = 256 * 1024  # bytes of the upstream's; what is larger is read in a thread


class InferenceApi:
    """Answers `_inference` requests. Errors are raised; `render_errors` makes answers of them."""

    def __init__(
        self,
        service: InferenceService,
        authorizer: Authorizer,
        origins: OriginJudge,
        upstream: Upstream | None,
        profile: Profile,
        *,
        config: LimitsConfig,
        limits: CallLimits,
        dependents: Dependents,
        heartbeat: float,
    ) -> None:
        self._service = service
        self._authorizer = authorizer
        self._origins = origins
        self._upstream = upstream
        self._profile = profile
        self._max_inputs = config.inputs
        self._max_body = config.inference_body  # bytes
        self._bounds = Bounds(nesting=config.nesting, values=config.values)
        self._limits = limits
        self._dependents = dependents
        self._heartbeat = heartbeat
        self._threads = Threads()
        self._turns = Turns()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Our answer, or the upstream's where what is asked for is unknown here."""
        try:
            return await self._answer(request)
        except NotOurs as error:
            return await self._hand_on(request, error)
        finally:
            if (body := request.get(BODY)) is not None:
                body.forget()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        asked = asked_by(request, self._authorizer)
        reserve(asked.held)
        rest, route = asked.rest, asked.route
        request[RESPONDER] = asked.responder
        origin = UNAFFECTED
        if asked.has_origin:
            origin = await self._origins.judge(rest.method, rest.headers)
            request[ORIGIN_HEADERS] = origin.headers
        if rest.method == "OPTIONS":
            if origin.status is not None:
                return ended_by_origin(origin.status)
            return allowed_methods(asked.responder, asked.methods)
        if not asked.has_pattern:
            raise NoHandler(rest.method, rest.target)
        verdict = await asked.ask_verdict()
        if origin.status is not None:
            return ended_by_origin(origin.status)
        if rest.problem is not None:
            raise rest.problem
        if route is None:
            raise wrong_method(rest, asked.methods)
        request[ROUTE] = route.name
        caller = _caller_of(request, asked, verdict)
        count_for(caller)
        body = request[BODY] = await self._body(request, rest, verdict)
        asked.check_content_type(body, self._profile)
        call = self._call(request, asked, body, route)
        try:
            route.validate(call.inference_id)
            if not isinstance(verdict, Allowed):
                raise await verdict.error()
            call.user = verdict.user
            self._threads.serve(caller)
            with route.place(self._limits, caller):
                permission = Permission(verdict, asked.ask_verdict)
                answer = await self._handled(request, call, route, permission)
            body.forget()
            if isinstance(answer, RestResponse):
                return await send_document(request, call, answer, asked.held)
            return answer
        finally:
            if call.responder is not asked.responder:
                request[RESPONDER] = call.responder  # by which an error is shown

    async def _handled(
        self, request: web.Request, call: Call, route: Route, permission: Permission
    ) -> RestResponse | web.StreamResponse:
        """What comes of a call: an answer that is to be sent, or a stream that has been."""
        permission.hold()
        if permission.is_due:  # the body may have taken long
            await permission.confirm()
        if route.streams:
            return await send_events(request, call, route.handler, self._heartbeat)
        if call.timeout is None:  # as most: a context costs more than this
            return await document(call.responder, await route.handler(call))
        async with call.in_time():
            return await document(call.responder, await route.handler(call))

    def _body(self, request: web.Request, rest: RestRequest, verdict: Verdict) -> Awaitable[Body]:
        """The body; who will be refused is told so before it is read."""
        if not isinstance(verdict, Allowed):
            return unread_body(request, rest, self._bounds)
        return read_body(request, rest, self._max_body, self._bounds, self._turns)

    def _call(self, request: web.Request, asked: Asked, body: Body, route: Route) -> Call:
        """The call, once path, body and parameters have been checked."""
        path = asked.path()
        if route.has_body:
            body.require()
        arguments = asked.arguments(route, self._profile)
        if not route.has_body:
            body.refuse()
        return Call(
            rest=asked.rest,
            body=body,
            responder=asked.responder_of_route,
            task_type=path.task_type,
            inference_id=path.inference_id,
            times=arguments.times,
            flags=arguments.flags,
            service=self._service,
            profile=self._profile,
            max_inputs=self._max_inputs,
            fetch=partial(self._fetch, request),
            dependents=self._dependents,
        )

    async def _hand_on(self, request: web.Request, error: NotOurs) -> web.StreamResponse:
        """The upstream's answer; `error` where it has no inference plugin. Raises: ProxyError."""
        if self._upstream is None:
            raise error
        body = request[BODY].raw if BODY in request else None
        try:
            return await self._upstream.hand_on_inference(request, body)
        except NoInferenceFeature:
            raise error from None

    async def _fetch(self, request: web.Request, path: str) -> Any:
        """The upstream's own answer to GET `path`, None where it has none."""
        if self._upstream is None:
            return None
        status, _, body = await self._upstream.fetch(request, path)
        if status != 200:
            return None
        reserve(len(body) * PER_FETCHED_BYTE)
        try:
            return await offload(len(body), _READ_AT_ONCE, partial(orjson.loads, body))
        except orjson.JSONDecodeError:
            return None


def _caller_of(request: web.Request, asked: Asked, verdict: Verdict) -> Caller:
    """For whom a request counts; who sends no credentials has a name that many share."""
    user = None
    if asked.has_credentials and isinstance(verdict, Allowed) and verdict.authenticated:
        user = verdict.user
    address = address_of_caller.get()
    return caller_of(user, address() if address else request.remote or "")
