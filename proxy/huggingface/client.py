"""Calls to Hugging Face endpoints: requests out, replies in, one aiohttp session for all.

A call waits for its endpoint's rate limit, is tried up to three times, and is cut off by the
request's timeout, whatever the provider does. Inputs go out in batches that providers take.
Source: HuggingFaceService, HuggingFaceActionCreator, the request entities.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar

import aiohttp
from yarl import URL

from proxy.config import ProviderConfig
from proxy.errors import Cause, CountMismatch, ProxyError, StatusError, forget_frames
from proxy.huggingface.batching import Text, batches, texts_of
from proxy.huggingface.chatreplies import (
    parse_chat,
    parse_chat_event,
    parse_completion,
    parse_completion_event,
)
from proxy.huggingface.egress import is_denied
from proxy.huggingface.failures import batch_is_too_large, failed_to_send, failure
from proxy.huggingface.ratelimit import RateLimiter
from proxy.huggingface.redaction import hide_token
from proxy.huggingface.replies import parse_embeddings, parse_rerank, parse_sparse
from proxy.huggingface.requests import chat_body, completion_body
from proxy.huggingface.retry import Retryable, RetryPolicy
from proxy.inference.chat import ChatRequest
from proxy.inference.endpoints import InferenceEndpoint
from proxy.inference.releases import DEFAULT, Profile
from proxy.inference.results import RankedDocument, SparseVector
from proxy.limits.memory import PER_REPLY_BYTE, reserve
from proxy.limits.threads import offload
from proxy.sse import EventDecoder, EventTooLarge, ServerSentEvent
from proxy.telemetry.metrics import Metrics
from proxy.xcontent.formats import dump_json
from proxy.xcontent.values import Json

T = TypeVar("T")
Send = Callable[[list[Text]], Awaitable[list[T]]]
_QUICKLY_READ: Final = 256 * 1024  # bytes of a reply
_PIECE: Final = 2 * 1024 * 1024  # bytes of a call's body that are sent in one go
_MAX_ERROR_BYTES: Final = 64 * 1024  # of a failed reply's body


class _Refused(Exception):
    """An answer other than 2xx."""

    def __init__(self, status: int, body: bytes, retry_after: float | None) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.retry_after = retry_after


class _TooMany(Exception):
    """The provider takes fewer texts in one call."""


class HuggingFace:
    """Every task of the service, for any endpoint. No method limits its own time.

    All raise what failures.py makes of failures.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        config: ProviderConfig,
        limiter: RateLimiter,
        retry: RetryPolicy,
        profile: Profile = DEFAULT,
        metrics: Metrics | None = None,
    ) -> None:
        self._session = session
        self._config = config
        self._limiter = limiter
        self._retry = retry
        self._profile = profile
        self._metrics = metrics or Metrics()

    async def embed(self, endpoint: InferenceEndpoint, inputs: Sequence[str]) -> list[list[float]]:
        """One vector per input, in input order."""

        async def send(batch: list[Text]) -> list[list[float]]:
            data = await self._post(endpoint, {"inputs": [text.text for text in batch]})
            return _counted(batch, await _parsed(endpoint, data, lambda: parse_embeddings(data)))

        texts = texts_of(inputs, endpoint.service_settings.max_input_tokens)
        return await self._in_batches(endpoint, texts, send, halve=True)

    async def embed_sparse(
        self, endpoint: InferenceEndpoint, inputs: Sequence[str]
    ) -> list[SparseVector]:
        """One map of token weights per input, in input order."""

        async def send(batch: list[Text]) -> list[SparseVector]:
            data = await self._post(endpoint, {"inputs": [text.text for text in batch]})
            truncated = [text.is_truncated for text in batch]
            return _counted(
                batch, await _parsed(endpoint, data, lambda: parse_sparse(data, truncated))
            )

        texts = texts_of(inputs, endpoint.service_settings.max_input_tokens)
        return await self._in_batches(endpoint, texts, send, halve=True)

    async def rerank(
        self,
        endpoint: InferenceEndpoint,
        query: str,
        documents: Sequence[str],
        *,
        top_n: int | None,
        return_documents: bool | None,
    ) -> list[RankedDocument]:
        """The documents, best first, `top_n` at most; each with its index into `documents`."""
        options = {"return_text": return_documents, "top_n": top_n}
        query_body = {"query": query, **{k: v for k, v in options.items() if v is not None}}

        async def send(batch: list[Text]) -> list[RankedDocument]:
            body = {"texts": [text.text for text in batch], **query_body}
            data = await self._post(endpoint, body)
            ranked = await _parsed(endpoint, data, lambda: parse_rerank(data, len(batch)))
            return [replace(one, index=batch[one.index].index) for one in ranked]

        ranked = await self._in_batches(endpoint, texts_of(documents), send)
        ranked.sort(key=lambda one: -one.relevance_score)  # stable: ties keep the reply's order
        return ranked[:top_n]

    async def complete(self, endpoint: InferenceEndpoint, text: str) -> list[str]:
        """The answers to one prompt, one per choice."""
        return await self._whole(
            endpoint, completion_body(endpoint, text, stream=False), parse_completion
        )

    async def chat(self, endpoint: InferenceEndpoint, request: ChatRequest) -> Json:
        """The answer of a chat in one piece, in Elasticsearch's form."""
        return await self._whole(endpoint, chat_body(endpoint, request, stream=False), parse_chat)

    @asynccontextmanager
    async def stream_completion(
        self, endpoint: InferenceEndpoint, text: str
    ) -> AsyncIterator[AsyncIterator[list[str]]]:
        """The deltas of an answer, as they come; entered when the provider has begun to answer."""
        body = completion_body(endpoint, text, stream=True)
        async with self._stream(endpoint, body) as events:
            yield _converted(endpoint, events, parse_completion_event)

    @asynccontextmanager
    async def stream_chat(
        self, endpoint: InferenceEndpoint, request: ChatRequest
    ) -> AsyncIterator[AsyncIterator[Json]]:
        """The chunks of a chat, as they come, in Elasticsearch's form."""
        body = chat_body(endpoint, request, stream=True)
        async with self._stream(endpoint, body) as events:
            yield _converted(
                endpoint, events, lambda event: parse_chat_event(event, endpoint, self._profile)
            )

    # Batches

    async def _in_batches(
        self, endpoint: InferenceEndpoint, texts: list[Text], send: Send[T], *, halve: bool = False
    ) -> list[T]:
        """The results of all batches, in order; a few are under way at once.

        Raises: the first failure, after the other batches are cancelled.
        """
        config = self._config
        groups = list(batches(texts, config.max_batch_inputs))
        if len(groups) == 1:
            return await self._send(endpoint, groups[0], send, halve)
        places = asyncio.Semaphore(config.concurrency)

        async def run(batch: list[Text]) -> list[T]:
            async with places:
                return await self._send(endpoint, batch, send, halve)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(run(batch)) for batch in groups]
        except ExceptionGroup as failures:
            tasks.clear()  # they know the failure, which knows this frame, and so all results
            raise _first(failures) from None
        return [result for task in tasks for result in task.result()]

    async def _send(
        self, endpoint: InferenceEndpoint, batch: list[Text], send: Send[T], halve: bool
    ) -> list[T]:
        """One batch with its retries.

        A provider that takes fewer texts gets the batch in two parts; one that finds the texts too
        long gets them cut in half, if `halve` allows it.
        """
        texts = batch

        async def attempt() -> list[T]:
            nonlocal texts
            try:
                return await send(texts)
            except _Refused as refused:
                if len(texts) > 1 and batch_is_too_large(refused.status, refused.body):
                    raise _TooMany from None
                if halve and refused.status == 413:
                    texts = [text.halved() for text in texts]
                raise

        try:
            return await self._with_retries(endpoint, attempt)
        except _TooMany:
            middle = len(batch) // 2
            first = await self._send(endpoint, batch[:middle], send, halve)
            return first + await self._send(endpoint, batch[middle:], send, halve)

    # One call

    async def _with_retries(
        self, endpoint: InferenceEndpoint, attempt: Callable[[], Awaitable[T]]
    ) -> T:
        """The result of `attempt`, in the endpoint's turn, tried again where refusals may pass."""

        attempts = 0

        async def judged() -> T:
            nonlocal attempts
            if attempts:
                self._metrics.count_retry(endpoint.task_type)
            attempts += 1
            try:
                return await attempt()
            except _Refused as refused:
                raise failure(
                    endpoint, refused.status, refused.body, refused.retry_after, self._profile
                ) from None

        with self._metrics.rate_limit_wait():
            await self._limiter.wait(endpoint)
        return await self._retry.run(judged)

    async def _whole(
        self, endpoint: InferenceEndpoint, body: Json, parse: Callable[[bytes], T]
    ) -> T:
        """The reply to one call that is not streamed."""

        async def attempt() -> T:
            data = await self._post(endpoint, body)
            return await _parsed(endpoint, data, lambda: parse(data))

        return await self._with_retries(endpoint, attempt)

    async def _post(self, endpoint: InferenceEndpoint, body: Json) -> bytes:
        """The body of a 2xx reply. Raises: _Refused, Retryable, ProxyError."""
        async with self._call(endpoint, body) as reply:
            data = await self._read(endpoint, reply)
        if not data:
            text = (
                "Response body was empty for request from inference entity id "
                f"[{endpoint.inference_id}]"
            )
            raise failed_to_send(endpoint, Cause("illegal_state_exception", text))
        return data

    @asynccontextmanager
    async def _call(
        self, endpoint: InferenceEndpoint, body: Json
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        url = endpoint.service_settings.url.partition("#")[0]
        headers = {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {endpoint.secret_settings.api_key}",
        }
        data = dump_json(body)
        headers["Content-Length"] = str(len(data))
        try:
            async with (
                self._metrics.provider_call(endpoint.task_type) as call,
                self._session.post(
                    URL(url, encoded=url.isascii()),  # letters beyond ASCII must be escaped
                    data=data if len(data) <= _PIECE else _in_pieces(data),
                    headers=headers,
                    allow_redirects=False,
                ) as reply,
            ):
                call.status = str(reply.status)
                if not 200 <= reply.status < 300:
                    raise _Refused(reply.status, await _error_body(reply), _retry_after(reply))
                yield reply
        except (aiohttp.ClientConnectorDNSError, UnicodeError) as error:
            forget_frames(error)
            raise StatusError(
                400, f"Invalid host [{url}], please check that the URL is correct."
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            raise _lost(endpoint, error) from None

    async def _read(self, endpoint: InferenceEndpoint, reply: aiohttp.ClientResponse) -> bytes:
        limit = self._config.max_response_bytes
        chunks, size = [], 0
        async for chunk in reply.content.iter_any():
            chunks.append(chunk)
            reserve(len(chunk) * PER_REPLY_BYTE)
            if (size := size + len(chunk)) > limit:
                text = f"Maximum limit of [{limit}] bytes reached"
                raise failed_to_send(endpoint, Cause("i_o_exception", text))
        return b"".join(chunks)

    # Streams

    @asynccontextmanager
    async def _stream(
        self, endpoint: InferenceEndpoint, body: Json
    ) -> AsyncIterator[AsyncIterator[ServerSentEvent]]:
        """The provider's events; calls that were not answered by 2xx are tried again."""

        async def attempt() -> Any:
            call = self._call(endpoint, body)
            return call, await call.__aenter__()

        call, reply = await self._with_retries(endpoint, attempt)
        try:
            yield self._events(endpoint, reply)
        finally:
            reply.close()  # a stream that was not read to its end cannot be reused
            await call.__aexit__(None, None, None)

    async def _events(
        self, endpoint: InferenceEndpoint, reply: aiohttp.ClientResponse
    ) -> AsyncIterator[ServerSentEvent]:
        decoder = EventDecoder()
        try:
            while True:
                async with asyncio.timeout(self._config.stream_idle_timeout):
                    chunk = await reply.content.readany()
                if not chunk:
                    return
                for event in decoder.feed(chunk):
                    if event.data.upper() == "[DONE]":
                        return
                    yield event
        except TimeoutError:
            seconds = self._config.stream_idle_timeout
            raise self._profile.timed_out(endpoint.inference_id, seconds) from None
        except EventTooLarge:
            raise failed_to_send(
                endpoint, Cause("i_o_exception", "an event of the stream is too large")
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            failed = _lost(endpoint, error)
            raise (failed.error if isinstance(failed, Retryable) else failed) from None


def _first(failures: ExceptionGroup[Exception]) -> Exception:
    first = failures.exceptions[0]
    return first if isinstance(first, ProxyError) else failures


async def _converted(
    endpoint: InferenceEndpoint,
    events: AsyncIterator[ServerSentEvent],
    convert: Callable[[ServerSentEvent], T],
) -> AsyncIterator[T]:
    """Each event converted, unless nothing is left of it."""
    try:
        async for event in events:
            if converted := convert(event):
                yield converted
    except ProxyError as error:
        raise hide_token(error, endpoint) from None


def _counted(batch: list[Text], results: list[T]) -> list[T]:
    """The results, if there are as many as texts. Raises: CountMismatch."""
    if len(results) != len(batch):
        raise CountMismatch(len(results), len(batch))
    return results


async def _in_pieces(data: bytes) -> AsyncIterator[bytes]:
    """A large body for the client, which would copy it to send it in one go."""
    for start in range(0, len(data), _PIECE):
        yield data[start : start + _PIECE]


async def _parsed(endpoint: InferenceEndpoint, data: bytes, parse: Callable[[], T]) -> T:
    """A parsed reply; one that cannot be read may be better the next time."""
    try:
        return await offload(len(data), _QUICKLY_READ, parse)
    except ProxyError as error:
        forget_frames(error)
        raise Retryable(failed_to_send(endpoint, error)) from None


def _lost(endpoint: InferenceEndpoint, error: Exception) -> Exception:
    """A connection that could not be made or broke off, in words that hold no address."""
    denied = is_denied(error)
    forget_frames(error)  # aiohttp's know it
    if denied:
        url = endpoint.service_settings.url
        return StatusError(400, f"Invalid host [{url}], its address is not allowed.")
    if isinstance(error, aiohttp.ClientConnectorError):
        refused = isinstance(error.os_error, ConnectionRefusedError)
        cause = Cause("connect_exception", "Connection refused" if refused else "Connect failed")
    elif isinstance(error, aiohttp.ServerDisconnectedError):
        cause = Cause("connection_closed_exception", "Connection closed unexpectedly")
    elif isinstance(error, TimeoutError):
        cause = Cause("connect_timeout_exception", "Connect timed out")
    elif isinstance(error, ConnectionError):
        cause = Cause("socket_exception", "Connection reset")
    else:
        cause = Cause("i_o_exception", "the reply was malformed or broke off")
    return Retryable(failed_to_send(endpoint, cause))


def _retry_after(reply: aiohttp.ClientResponse) -> float | None:
    """Seconds until the provider wants to be asked again."""
    value = reply.headers.get("Retry-After", "")
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return None


async def _error_body(reply: aiohttp.ClientResponse) -> bytes:
    """The beginning of a failed reply's body."""
    body = b""
    while len(body) < _MAX_ERROR_BYTES and (piece := await reply.content.readany()):
        body += piece
    return body[:_MAX_ERROR_BYTES]
