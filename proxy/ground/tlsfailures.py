"""Why two ends do not agree on TLS, in words that hold no address, with what to do about it."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from yarl import URL

from proxy.ground.singleflight import SingleFlight

SPEAKS_TLS: Final = "speaks TLS: use https:// in [upstream.url]"
TLS_ALERT: Final = b"\x15\x03"  # the beginning of one
_PROBE_TIMEOUT: Final = 2.0  # seconds
_KNOWN_FOR: Final = 30.0  # seconds until a server is probed again
# Source: OpenSSL's x509_vfy.h and sslerr.h; each alert has a name of either kind.
_NOT_YET_VALID, _EXPIRED, _WRONG_NAMES = 9, 10, (62, 64)
_NO_TLS: Final = (
    "WRONG_VERSION_NUMBER",
    "HTTP_REQUEST",
    "UNKNOWN_PROTOCOL",
    "RECORD_LAYER_FAILURE",
)
_WANTS_CERTIFICATE: Final = ("CERTIFICATE_REQUIRED", "ALERT_BAD_CERTIFICATE", "ALERT_UNKNOWN_CA")


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedies:
    """What the texts call the settings that can mend a failure."""

    url: str
    ca_file: str
    certificate: str


UPSTREAM: Final = Remedies(
    url="[upstream.url]", ca_file="[upstream.ca_file]", certificate="[upstream.certificate]"
)


def tls_problem(error: BaseException | None, remedies: Remedies = UPSTREAM) -> str | None:
    """What an error says about the server's TLS: a clause about "it"; None if it says nothing."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _certificate_problem(cause, remedies)
        if isinstance(cause, ssl.SSLError):
            return _handshake_problem(cause.reason or "", remedies)
    return None


def connect_problem(url: str, error: OSError) -> str | None:
    """The same of an error that was met while connecting, where it can also say less."""
    if (problem := tls_problem(error)) is not None:
        return problem
    inner = getattr(error, "os_error", error)  # aiohttp wraps it
    is_lost = isinstance(inner, ConnectionError) and not isinstance(inner, ConnectionRefusedError)
    if not is_lost or not url.startswith("https:"):
        return None
    return "it broke the TLS handshake off: check that it speaks TLS"


def _certificate_problem(error: ssl.SSLCertVerificationError, remedies: Remedies) -> str:
    code = getattr(error, "verify_code", None)  # None: it is an error of our own
    if code is None:
        return "its certificate does not have the configured fingerprint"
    if code == _EXPIRED:
        return "its certificate has expired"
    if code == _NOT_YET_VALID:
        return "its certificate is not valid yet"
    if code in _WRONG_NAMES:
        return f"its certificate is for another host name than that in {remedies.url}"
    return (
        f"its certificate is not trusted ({error.verify_message}): name the authority that has "
        f"issued it in {remedies.ca_file}"
    )


def _handshake_problem(reason: str, remedies: Remedies) -> str:
    if reason in _NO_TLS:
        return f"it does not speak TLS: use http:// in {remedies.url}"
    if reason.endswith(_WANTS_CERTIFICATE):
        return f"it does not accept the client certificate, or its absence: {remedies.certificate}"
    return f"the TLS handshake failed ({reason or 'it broke off'})"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """What is wrapped in an error of aiohttp, innermost first."""
    if error is None:
        return
    for name in ("certificate_error", "os_error", "__cause__"):
        if (inner := getattr(error, name, None)) is not None and inner is not error:
            yield from _causes(inner)
    yield error


class TlsProbe:
    """Whether a server that gave no answer to plain HTTP speaks TLS: asked once in a while."""

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._clock = clock
        self._known_until = float("-inf")
        self._speaks_tls = False
        self._asking: SingleFlight[None, None] = SingleFlight()

    @property
    def may_tell(self) -> bool:
        """Whether `speaks_tls` could be true."""
        is_due = self._clock() >= self._known_until
        return self._url.startswith("http:") and (self._speaks_tls or is_due)

    def rule_out(self) -> None:
        """Take note that the server has answered to plain HTTP."""
        self._note(False)

    async def speaks_tls(self) -> bool:
        if self._clock() >= self._known_until and self.may_tell:
            await self._asking.run(None, self._ask)
        return self._speaks_tls

    async def _ask(self) -> None:
        self._note(await _shakes_hands(URL(self._url)))

    def _note(self, speaks_tls: bool) -> None:
        self._speaks_tls = speaks_tls
        self._known_until = self._clock() + _KNOWN_FOR


async def _shakes_hands(url: URL) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is sent
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_PROBE_TIMEOUT):
            transport, _ = await loop.create_connection(
                asyncio.Protocol, str(url.host), url.port or 80, ssl=context
            )
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")
    except (OSError, TimeoutError):
        return False
    transport.abort()
    return True
