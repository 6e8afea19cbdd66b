"""What heads ask for, and what is worked out once for all requests that have the same."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from proxy.api.asked import Asked, asked_by
from proxy.api.keys import OF_HEAD
from proxy.ground.authorization import Allowed, Verdict
from proxy.ground.errors import IllegalArgument, MediaTypeRejected, PlainError, StatusError
from proxy.inference.actions import InferenceAction
from proxy.inference.endpoints import TaskType
from proxy.rest.body import Body
from proxy.rest.responder import DOCUMENT, EVENT
from tests.support.bodies import BOUNDS
from tests.support.samples import PROFILE


class Asking:
    """An upstream that allows everything, and writes down what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def question(self, headers: Any, target: str, action: Any) -> Callable[[], Awaitable[Verdict]]:
        async def ask() -> Verdict:
            self.asked.append((dict(headers), target, action))
            return Allowed(authenticated=True)

        return ask


def request_of(
    target: str = "/_inference/rerank/x",
    method: str = "POST",
    *,
    headers: dict[str, str] | None = None,
    notes: dict[str, Any] | None = None,
) -> Any:
    made = make_mocked_request(method, target, headers=headers or {})
    if notes is not None:
        made[OF_HEAD] = notes
    return made


def asked_of(*args: Any, **more: Any) -> Asked:
    return asked_by(request_of(*args, **more), Asking())


async def test_a_head_says_who_asks_for_what():
    upstream = Asking()
    headers = {"Authorization": "x", "Origin": "y"}
    asked = asked_by(request_of(headers=headers), upstream)
    assert asked.has_pattern
    assert asked.has_origin
    assert asked.has_credentials
    assert asked.route is not None
    assert asked.route.name == "infer"
    assert (asked.path().task_type, asked.path().inference_id) == (TaskType.RERANK, "x")
    await asked.ask_verdict()
    assert upstream.asked == [(headers, "/_inference/rerank/x", InferenceAction.POST)]


def test_or_for_nothing_that_is_there():
    asked = asked_of("/_inference/a/b/c")
    assert (asked.has_pattern, asked.methods, asked.route) == (False, {}, None)
    asked = asked_of("/_inference/a", "PATCH")
    assert (asked.has_pattern, asked.route) == (True, None)
    assert list(asked.methods) == ["GET", "POST", "PUT", "DELETE"]
    assert not asked.has_origin
    assert not asked.has_credentials


def test_requests_with_the_same_notes_share_it():
    notes: dict[str, Any] = {}
    assert asked_of(notes=notes) is asked_of(notes=notes)
    assert asked_of(notes={}) is not asked_of(notes={})
    assert asked_of() is not asked_of()


def test_but_no_error():
    notes: dict[str, Any] = {}
    first, second = (asked_of("/_inference/%x", notes=notes).rest.problem for _ in range(2))
    assert first is not None
    assert second is not None
    assert first is not second
    asked = asked_of("/_inference/nonsense/x?timeout=x", notes=notes)
    assert asked.route is not None
    errors = []
    for _ in range(2):
        with pytest.raises(StatusError) as caught:
            asked.path()
        errors.append(caught.value)
    assert errors[0] is not errors[1]


def test_errors_of_streams_are_events_once_the_request_fits_its_route():
    asked = asked_of("/_inference/x/_stream?pretty")
    assert (asked.responder.error_shape, asked.responder_of_route.error_shape) == (DOCUMENT, EVENT)
    assert asked.responder_of_route.pretty
    asked = asked_of("/_inference/x?pretty")
    assert asked.responder_of_route is asked.responder


def test_parameters_are_read_for_each_until_they_are_right():
    asked = asked_of("/_inference/rerank/x?timeout=5s")
    assert asked.route is not None
    first = asked.arguments(asked.route, PROFILE)
    assert first.times == {"timeout": 5.0}
    assert asked.arguments(asked.route, PROFILE) is first
    wrong = asked_of("/_inference/rerank/x?timeout=5s&nonsense")
    assert wrong.route is not None
    for _ in range(2):
        with pytest.raises(IllegalArgument, match="nonsense"):
            wrong.arguments(wrong.route, PROFILE)


@pytest.mark.parametrize(
    ("content_type", "error"),
    [
        ("text/x", PlainError),
        (None, PlainError),
        ("application/vnd.elasticsearch+json;compatible-with=3", MediaTypeRejected),
        ("application/json", None),
    ],
)
def test_a_media_type_is_right_or_wrong_for_each_that_has_a_body(content_type, error):
    asked = asked_of(headers={} if content_type is None else {"Content-Type": content_type})
    empty, full = (Body(asked.rest, data, data, BOUNDS) for data in (b"", b"{}"))
    for _ in range(2):
        asked.check_content_type(empty, PROFILE)
        if error is None:
            asked.check_content_type(full, PROFILE)
            continue
        with pytest.raises(error):
            asked.check_content_type(full, PROFILE)
