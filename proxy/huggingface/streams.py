"""The events of a provider's stream, as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

import aiohttp

from proxy.errors import Cause, ProxyError
from proxy.huggingface.calls import OpenReply, what_failed
from proxy.huggingface.failures import failed_to_send, failure
from proxy.huggingface.redaction import hide_token
from proxy.huggingface.streamerrors import ended_with, no_stream, report_of, reported_outside
from proxy.inference.endpoints import InferenceEndpoint
from proxy.inference.releases import Profile
from proxy.sse import EventDecoder, EventTooLarge, ServerSentEvent

T = TypeVar("T")


async def read_events(
    endpoint: InferenceEndpoint, reply: OpenReply, idle_timeout: float, profile: Profile
) -> AsyncIterator[ServerSentEvent]:
    """The events until `[DONE]` or the end of the reply, but for those without data.

    Raises: ProxyError if the reply breaks off or is no stream, an event does not end, or nothing
    comes for `idle_timeout` seconds.
    """
    decoder, has_events = EventDecoder(), False
    try:
        while True:
            async with asyncio.timeout(idle_timeout):
                chunk = await reply.content.readany()
            if not chunk:
                break
            for event in decoder.feed(chunk):
                data = event.data.strip()
                if data.upper() == "[DONE]":
                    return
                if data:  # none is a heartbeat
                    has_events = True
                    yield event
    except TimeoutError:
        raise profile.timed_out(endpoint.inference_id, idle_timeout) from None
    except EventTooLarge:
        cause = Cause("i_o_exception", "an event of the stream is too large")
        raise failed_to_send(endpoint, cause) from None
    except (aiohttp.ClientError, OSError) as error:
        raise failure(endpoint, what_failed(endpoint, error), profile).error from None
    if (reported := reported_outside(decoder.left)) is not None:
        raise report_of(endpoint, reported)
    if not has_events:
        raise no_stream(endpoint, reply.content_type, decoder.left)
    if decoder.strange:
        raise ended_with(endpoint, decoder.strange)


async def converted(
    endpoint: InferenceEndpoint,
    events: AsyncIterator[ServerSentEvent],
    convert: Callable[[ServerSentEvent], T],
    failed: Callable[[InferenceEndpoint, ProxyError], None],
) -> AsyncIterator[T]:
    """Each event converted, unless nothing is left of it.

    Raises: ProxyError, which `failed` is told first.
    """
    try:
        async for event in events:
            if result := convert(event):
                yield result
    except ProxyError as error:
        error = hide_token(error, endpoint)
        failed(endpoint, error)
        raise error from None
