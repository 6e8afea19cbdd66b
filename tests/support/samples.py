"""Endpoints, headers and random JSON for unit tests, and a time limit for what may hang."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.ground.errors import ProxyError
from proxy.inference.endpoints import (
    InferenceEndpoint,
    SecretSettings,
    ServiceSettings,
    TaskSettings,
    TaskType,
)
from proxy.inference.releases import PROFILES, Profile
from proxy.xcontent.objectparser import Located

TOKEN: Final = "hf_DoNotShowThis0123456789"
URL: Final = "http://provider.test/"
PROFILE: Final[Profile] = PROFILES["9.2"]  # for tests that are not about releases
TASKS: Final = [task for task in TaskType if task is not TaskType.ANY]
ID: Final = "for request from inference entity id [e1]"  # in errors about `make_endpoint()`


def make_endpoint(
    task_type: TaskType = TaskType.TEXT_EMBEDDING,
    *,
    url: str = URL,
    token: str = TOKEN,
    inference_id: str = "e1",
    task_settings: TaskSettings | None = None,
    revision: str | None = None,
    **service_settings: Any,
) -> InferenceEndpoint:
    """An endpoint as PUT makes it, with a rate limit that no test reaches."""
    service_settings = {"requests_per_minute": 60_000_000, **service_settings}
    return InferenceEndpoint(
        inference_id=inference_id,
        task_type=task_type,
        service_settings=ServiceSettings(url=url, **service_settings),
        secret_settings=SecretSettings(api_key=token),
        task_settings=task_settings or TaskSettings(),
        revision=revision,
    )


def headers_of(
    values: Mapping[str, str] | list[tuple[str, str]] | None = None,
) -> CIMultiDictProxy[str]:
    """Headers as aiohttp passes them to a handler."""
    return CIMultiDictProxy(CIMultiDict(values or {}))


# What a stream's event must not carry: each is no JSON object.
NO_OBJECTS: Final = ["", "x", "[]", "1", "null", '{"a":', "NaN", "[" * 5000]
# Texts that UTF-8 can carry.
# Texts that can be encoded in UTF-8.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
json_values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(texts.filter(bool), inner, max_size=4)
    ),
    max_leaves=12,
)
json_objects = st.dictionaries(texts.filter(bool), json_values, max_size=4)


class TookTooLong(AssertionError):
    """The block of `at_most` took too long."""


class _Alarm(BaseException):
    """Not an Exception, so that the code under test does not catch it."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Interrupt the block after that time. Works for Python code and `re` in the main thread."""

    def on_alarm(number: int, frame: FrameType | None) -> None:
        raise _Alarm

    previous = signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except _Alarm:
        # Without the interrupted frames, whose large values pytest would print.
        raise TookTooLong(f"not done after {seconds} s") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def refusal_of(call: Callable[[], object]) -> ProxyError | None:
    """The ProxyError that `call` raises, or None; any other error is raised."""
    try:
        call()
    except ProxyError as error:
        return error
    except Located as located:
        return located.error
    return None


def problem(call: Callable[[], object]) -> ProxyError:
    """The ProxyError that `call` must raise."""
    error = refusal_of(call)
    assert error is not None
    return error
