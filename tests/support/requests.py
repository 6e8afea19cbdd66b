"""Requests as the REST layer reads them, without a connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from proxy.rest.body import Body
from proxy.rest.codings import coding_of_request, decompressed
from proxy.rest.request import RestRequest, parse_request
from proxy.rest.responder import Responder, responder_for
from tests.support.bodies import BOUNDS
from tests.support.samples import headers_of

Headers = Mapping[str, str] | list[tuple[str, str]] | None
MAJOR: Final = 9  # of the release that is served


def request_of(
    target: str = "/_inference/x", method: str = "GET", headers: Headers = None
) -> RestRequest:
    return parse_request(method, target, headers_of(headers))


def responder_of(target: str = "/_inference/x", headers: Headers = None) -> Responder:
    return responder_for(request_of(target, headers=headers))


def body_of(data: bytes, headers: Headers = None, method: str = "PUT", target: str = "/p") -> Body:
    """A body that has been decoded, and whose content type has been accepted."""
    request = request_of(target, method, headers)
    coding = coding_of_request(request.headers) if data else None
    decoded = data if coding is None else b"".join(decompressed(data, coding))
    body = Body(request, data, decoded, BOUNDS)
    body.check_content_type(MAJOR)
    return body
