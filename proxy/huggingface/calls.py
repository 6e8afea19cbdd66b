"""One HTTP call to a provider, and what became of it.

What a failure means for the caller is none of this module's business: see failures.
"""

from __future__ import annotations

import asyncio
import logging
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from proxy.config import ProviderConfig
from proxy.ground.errors import Cause
from proxy.ground.frames import forget_frames
from proxy.ground.sessions import PutsOff, on_live_connection, pieces_of, read_in_turn
from proxy.ground.tlsfailures import Remedies, tls_problem
from proxy.http1.bodies import pieces
from proxy.huggingface.egress import is_denied
from proxy.huggingface.posting import Poster
from proxy.huggingface.usage import add_call, add_compute, usage_of
from proxy.inference.endpoints import InferenceEndpoint
from proxy.limits.deadline import NO_DEADLINE, Deadline
from proxy.limits.memory import PER_REPLY_BYTE, reserve
from proxy.limits.threads import offload
from proxy.telemetry.metrics import Metrics, ProviderCall
from proxy.xcontent.values import Json
from proxy.xcontent.weighing import weight
from proxy.xcontent.writing import dump_json, dump_light

if TYPE_CHECKING:
    from aiohttp.connector import Connection

_OF_TEI: Final = "x-compute-type"  # a header of each of its answers
_PIECE: Final = 2 * 1024 * 1024  # bytes; aiohttp copies what it is given in one go
_REMEDIES: Final = Remedies(
    url="the endpoint's [url]", ca_file="[egress.ca_file]", certificate="none is configured"
)
_QUICKLY_WRITTEN: Final = 256 * 1024  # bytes of a call's body, about
_PER_HEADER: Final = 512  # bytes of memory that a header of an answer takes, unless it is long
_SECONDS: Final = re.compile(r"[0-9]+(?:\.[0-9]*)?")  # some servers write fractions
_USED_UP: Final = re.compile(r"; *r=0 *; *t=([0-9]{1,9})\b")  # nothing is left for t seconds
_MAX_LIMITS: Final = 1000  # characters of that header
# Until a replica is there, or so many seconds have passed. Source: the guide to autoscaling of
# Hugging Face's Inference Endpoints.
_SCALE_UP_TIMEOUT: Final = "X-Scale-Up-Timeout"
# Nothing listens at the port: of a server that has not loaded its model yet, too.
NOBODY_LISTENS: Final = Cause("connect_exception", "Connection refused")
_MAX_REFUSAL: Final = 64 * 1024  # bytes read of a refusal's body
_SOON: Final = 1.0  # seconds
MOST_ENDING: Final = 1024  # answers whose end is awaited, on connections that no call can have

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Call:
    """A POST of `body` to the endpoint's URL, with the endpoint's token."""

    endpoint: InferenceEndpoint
    body: Json
    is_retry: bool = False
    deadline: Deadline = NO_DEADLINE  # of the last one who waits for it
    # Seconds that a gateway may keep it until its server has started.
    scale_up_timeout: int | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """The body of an answer of status 2xx; never empty."""

    body: bytes
    is_of_tei: bool = False  # whether text-embeddings-inference has sent it


class OpenReply:
    """An answer of status 2xx whose body is still to be read, until it is closed."""

    def __init__(self, answer: _Answer, calls: Calls, counted: _CountedCall) -> None:
        self.content = answer.content
        self.content_type = answer.headers.get("Content-Type", "")  # as the provider names it
        self.is_done = False  # whether the provider has said that nothing more comes
        self._answer = answer
        self._calls = calls
        self._counted = counted

    def read_in_turn(self, puts_off: PutsOff) -> None:
        """Read what still comes when `puts_off` lets it."""
        read_in_turn(self._answer.connection, puts_off)

    def close(self) -> None:
        """End the call."""
        if self.is_done:
            self._calls.await_end(self._answer)
        else:
            self._answer.close()
        self._counted.__exit__()


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer of any other status."""

    status: int
    body: bytes  # the beginning of it
    retry_after: float | None = None  # seconds
    waited: bool = False  # whether all has been waited that may be


@dataclass(frozen=True, slots=True)
class NoReply:
    """No answer, or one that broke off or cannot be used; `cause` holds no address."""

    cause: Cause
    may_pass: bool = True
    waited: bool = False  # as in Refusal


@dataclass(frozen=True, slots=True)
class InvalidHost:
    """The URL's host does not exist, or must not be called."""

    reason: str
    is_denied: bool = False


FailedCall: TypeAlias = Refusal | NoReply | InvalidHost


class _Answer(Protocol):
    """What is used of an answer, be it aiohttp's ClientResponse or an Answer."""

    @property
    def connection(self) -> Connection | None: ...

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> CIMultiDictProxy[str]: ...

    @property
    def raw_headers(self) -> tuple[tuple[bytes, bytes], ...]: ...

    @property
    def content(self) -> aiohttp.StreamReader: ...

    def close(self) -> None: ...

    async def __aenter__(self) -> _Answer: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class Calls:
    """Sends calls, all over one aiohttp session, and counts them."""

    def __init__(
        self, session: aiohttp.ClientSession, config: ProviderConfig, metrics: Metrics
    ) -> None:
        self._session = session
        self._poster = Poster.of(session)
        self._config = config
        self._metrics = metrics
        # Answers of which only their end is missing, and what closes their connections without it.
        self._ending: dict[_Answer, asyncio.TimerHandle] = {}

    async def send(self, call: Call) -> Reply | FailedCall:
        """The outcome once all of the reply has been read. Raises: MemoryShort."""
        data = await self._prepared(call)
        try:
            with _CountedCall(self._metrics, call) as counted:
                async with await self._post(call, data) as answer:
                    counted.answered(answer)
                    reserve(_PER_HEADER * len(answer.raw_headers))
                    if not 200 <= answer.status < 300:
                        return await _refusal(answer)
                    return await self._reply(call.endpoint, answer)
        except (aiohttp.ClientError, OSError, UnicodeError) as error:
            return what_failed(call.endpoint, error)

    async def open(self, call: Call) -> OpenReply | FailedCall:
        """The outcome once the head of the reply has been read. Raises: MemoryShort."""
        data = await self._prepared(call)
        counted, answer, reply = _CountedCall(self._metrics, call), None, None
        counted.__enter__()
        try:
            answer = await self._post(call, data)
            counted.answered(answer)
            reserve(_PER_HEADER * len(answer.raw_headers))
            if not 200 <= answer.status < 300:
                return await _refusal(answer)
            reply = OpenReply(answer, self, counted)
            return reply
        except (aiohttp.ClientError, OSError, UnicodeError) as error:
            return what_failed(call.endpoint, error)
        finally:
            if reply is None:  # which ends the call once it is closed
                if answer is not None:
                    answer.close()
                counted.__exit__()

    def await_end(self, answer: _Answer) -> None:
        """Close the connection unless the answer ends soon: then it can be used again.

        Behind the last event, the end of the last chunk often comes by itself.
        """
        if len(self._ending) >= MOST_ENDING:
            answer.close()
            return
        closing = asyncio.get_running_loop().call_later(_SOON, self._close, answer)
        self._ending[answer] = closing
        answer.content.on_eof(partial(self._ended, answer))

    def _ended(self, answer: _Answer) -> None:
        if (closing := self._ending.pop(answer, None)) is not None:
            closing.cancel()

    def _close(self, answer: _Answer) -> None:
        self._ended(answer)
        answer.close()

    def close(self) -> None:
        """Close the connections whose answers have not ended."""
        for answer in list(self._ending):
            self._close(answer)

    async def _prepared(self, call: Call) -> bytes:
        if call.is_retry:
            self._metrics.count_retry(call.endpoint.task_type)
        size = weight(call.body, _QUICKLY_WRITTEN)
        if size <= _QUICKLY_WRITTEN:
            return dump_light(call.body)
        return await offload(size, _QUICKLY_WRITTEN, partial(dump_json, call.body))

    async def _post(self, call: Call, data: bytes) -> _Answer:
        url, token = _called_url(call.endpoint), call.endpoint.secret_settings.api_key
        more = (
            {} if call.scale_up_timeout is None else {_SCALE_UP_TIMEOUT: str(call.scale_up_timeout)}
        )

        async def send() -> _Answer:
            if self._poster is not None and len(data) <= _PIECE:
                return await self._poster.post(url, token, data, more)
            return await self._session.post(
                URL(url, encoded=url.isascii()),  # letters beyond ASCII must be escaped
                data=data if len(data) <= _PIECE else pieces(data, _PIECE),
                headers={
                    "Content-Type": "application/json",
                    "Authorization": f"Bearer {token}",
                    "Content-Length": str(len(data)),
                    **more,
                },
                allow_redirects=False,
            )

        return await on_live_connection(send)

    async def _reply(self, endpoint: InferenceEndpoint, answer: _Answer) -> Reply | NoReply:
        limit = self._config.max_response_bytes
        chunks, size = [], 0
        async for chunk in pieces_of(answer.content):
            chunks.append(chunk)
            reserve(len(chunk) * PER_REPLY_BYTE)
            if (size := size + len(chunk)) > limit:
                problem = f"Maximum limit of [{limit}] bytes reached"
                return NoReply(Cause("i_o_exception", problem), may_pass=False)
        if not size:
            problem = (
                "Response body was empty for request from inference entity id "
                f"[{endpoint.inference_id}]"
            )
            return NoReply(Cause("illegal_state_exception", problem), may_pass=False)
        return Reply(b"".join(chunks), _OF_TEI in answer.headers)


class _CountedCall(ProviderCall):
    """A call that is counted, with what it uses, and logged, when this is left."""

    def __init__(self, metrics: Metrics, call: Call) -> None:
        super().__init__(metrics, call.endpoint.task_type)
        self._call = call
        self._endpoints = metrics.endpoints
        self._usage = usage_of(metrics.endpoints, call.endpoint)

    def __enter__(self) -> _CountedCall:
        super().__enter__()
        return self

    def answered(self, answer: _Answer) -> None:
        self.status = str(answer.status)
        tokens = add_compute(self._usage, answer.headers)
        if tokens.input:
            self._endpoints.count_tokens(self._call.endpoint.inference_id, self._usage, tokens)

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        add_call(self._usage, self._call.body, self.seconds)
        if log.isEnabledFor(logging.DEBUG):
            log_call(self._call.endpoint, self.status, self.seconds)


def log_call(endpoint: InferenceEndpoint, status: str, seconds: float) -> None:
    log.debug(
        "called the provider of inference endpoint [%s] (%s): %s in %.1f ms",
        endpoint.inference_id,
        endpoint.task_type,
        status,
        seconds * 1000,
        extra={
            "event.action": "provider-called",
            "event.duration": int(seconds * 1e9),
            "http.response.status_code": int(status) if status.isdecimal() else None,
            "labels.inference_id": endpoint.inference_id,
            "labels.task_type": str(endpoint.task_type),
        },
    )


def what_failed(endpoint: InferenceEndpoint, error: Exception) -> NoReply | InvalidHost:
    """The outcome of a call that an error of aiohttp ended, in words that hold no address."""
    denied = is_denied(error)
    forget_frames(error)
    if isinstance(error, aiohttp.ClientConnectorDNSError | UnicodeError):
        url = _called_url(endpoint)
        return InvalidHost(f"Invalid host [{url}], please check that the URL is correct.")
    if denied:
        url = endpoint.service_settings.url
        return InvalidHost(f"Invalid host [{url}], its address is not allowed.", is_denied=True)
    return NoReply(_cause(error))


def _cause(error: Exception) -> Cause:
    if (problem := tls_problem(error, _REMEDIES)) is not None:
        return Cause("s_s_l_handshake_exception", problem)
    if isinstance(error, aiohttp.ClientConnectorError):
        refused = isinstance(error.os_error, ConnectionRefusedError)
        return NOBODY_LISTENS if refused else Cause("connect_exception", "Connect failed")
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return Cause("connection_closed_exception", "Connection closed unexpectedly")
    if isinstance(error, TimeoutError):
        return Cause("connect_timeout_exception", "Connect timed out")
    if isinstance(error, ConnectionError | aiohttp.ClientOSError):
        return Cause("socket_exception", "Connection reset")
    return Cause("i_o_exception", "the reply was malformed or broke off")


def _called_url(endpoint: InferenceEndpoint) -> str:
    return endpoint.service_settings.url.partition("#")[0]


async def _refusal(answer: _Answer) -> Refusal:
    body = b""
    while len(body) < _MAX_REFUSAL and (piece := await answer.content.readany()):
        body += piece
    return Refusal(answer.status, body[:_MAX_REFUSAL], _retry_after(answer))


def _retry_after(answer: _Answer) -> float | None:
    """The seconds of `Retry-After`, a number or a date, else those of Hugging Face's `RateLimit`.

    Source: RFC 9110 section 10.2.3, draft-ietf-httpapi-ratelimit-headers.
    """
    value = answer.headers.get("Retry-After", "")
    if _SECONDS.fullmatch(value):
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError, OverflowError):
        used_up = _USED_UP.search(answer.headers.get("RateLimit", "")[:_MAX_LIMITS])
        return None if used_up is None else float(used_up[1])
