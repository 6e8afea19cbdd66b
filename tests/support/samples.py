"""Endpoints, headers and random JSON that several unit tests start from."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.errors import ProxyError
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
    **service_settings: Any,
) -> InferenceEndpoint:
    """An endpoint as a PUT would make it, its rate limit far away."""
    service_settings = {"requests_per_minute": 60_000_000, **service_settings}
    return InferenceEndpoint(
        inference_id=inference_id,
        task_type=task_type,
        service_settings=ServiceSettings(url=url, **service_settings),
        secret_settings=SecretSettings(api_key=token),
        task_settings=task_settings or TaskSettings(),
    )


def headers_of(
    values: Mapping[str, str] | list[tuple[str, str]] | None = None,
) -> CIMultiDictProxy[str]:
    """Headers as aiohttp gives them."""
    return CIMultiDictProxy(CIMultiDict(values or {}))


# What a stream's event must not carry: each is no JSON object.
NO_OBJECTS: Final = ["", "x", "[]", "1", "null", '{"a":', "NaN", "[" * 5000]
# Texts that UTF-8 can carry.
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
    """What a test waited for was not done in time."""


class _Alarm(BaseException):
    """No Exception, so that the code under test does not swallow it."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Interrupt what would never end: Python code or `re` in the main thread."""

    def on_alarm(number: int, frame: FrameType | None) -> None:
        raise _Alarm

    previous = signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except _Alarm:
        # Without the frames that were interrupted: pytest would print what they hold.
        raise TookTooLong(f"not done after {seconds} s") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def refusal_of(call: Callable[[], object]) -> ProxyError | None:
    """The error of ours that `call` raises, None where it raises none; others pass through."""
    try:
        call()
    except ProxyError as error:
        return error
    except Located as located:
        return located.error
    return None


def problem(call: Callable[[], object]) -> ProxyError:
    """The error of ours that `call` raises, as it must."""
    error = refusal_of(call)
    assert error is not None
    return error
