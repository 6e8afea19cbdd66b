"""What the head of a request asks for.

It is worked out once for all requests of a connection that have the same head, but for the value of
Content-Length, which has no part in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aiohttp import hdrs, web

from proxy.api.answers import held_by_head
from proxy.api.keys import OF_HEAD
from proxy.api.paths import EndpointPath
from proxy.api.ports import Authorizer
from proxy.api.routes import ROUTES, Route, endpoint_path_of, match_of
from proxy.ground.authorization import CREDENTIAL_HEADERS
from proxy.inference.actions import InferenceAction
from proxy.inference.releases import Profile
from proxy.rest.arguments import Arguments, read_arguments
from proxy.rest.body import Body
from proxy.rest.request import parse_request
from proxy.rest.responder import responder_for

_ASKED: Final = "asked"  # among the notes of a head


class Asked:
    """What one head asks for. What is wrong with it is found out, and raised, for each request."""

    def __init__(self, request: web.Request, authorizer: Authorizer) -> None:
        headers = request.headers
        rest = self.rest = parse_request(request.method, request.raw_path, headers)
        match = match_of(rest.path)
        self.has_pattern = match is not None
        self.methods: Mapping[str, Route] = {} if match is None else ROUTES[match.pattern]
        self.route = self.methods.get(rest.method)
        self.has_origin = hdrs.ORIGIN in headers
        self.has_credentials = any(name in headers for name in CREDENTIAL_HEADERS)
        action = InferenceAction.GET if self.route is None else self.route.action
        # The verdict of the upstream's security, as it is when this is called.
        self.ask_verdict = authorizer.question(headers, rest.target, action)
        self.responder = responder_for(rest)
        # Once the request fits its route.
        self.responder_of_route = self.responder
        if self.route is not None:
            self.responder_of_route = self.responder.shaping(self.route.error_shape)
        self.held = held_by_head(request)  # bytes
        self._takes_bodies = False  # whether that has been found out
        self._path: EndpointPath | None = None
        self._arguments: Arguments | None = None

    def check_content_type(self, body: Body, profile: Profile) -> None:
        """As `Body.check_content_type`."""
        if not (self._takes_bodies and body.data):
            body.check_content_type(profile.major)
            self._takes_bodies = bool(body.data)

    def path(self) -> EndpointPath:
        """Raises: StatusError 400, as `parse_path`."""
        if self._path is None:
            self._path = endpoint_path_of(self.rest.target)
        return self._path

    def arguments(self, route: Route, profile: Profile) -> Arguments:
        """Raises: IllegalArgument, as `read_arguments`."""
        if self._arguments is None:
            times, others = route.times_in(profile), self.path().parameters
            self._arguments = read_arguments(times, route.flags, others, self.rest.target)
        return self._arguments


def asked_by(request: web.Request, authorizer: Authorizer) -> Asked:
    """What the head of this request asks for."""
    notes = request.get(OF_HEAD)
    if notes is None:
        return Asked(request, authorizer)
    asked: Asked | None = notes.get(_ASKED)
    if asked is None:
        asked = Asked(request, authorizer)
        if asked.rest.problem is None:  # as requests must not share an error
            notes[_ASKED] = asked
    return asked
