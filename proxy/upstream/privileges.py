"""Whether a caller may: the upstream's security decides, nobody else.

The caller's own credentials are put to the upstream, with the name of the action that Elasticsearch
would run, and only a plain yes lets the caller through. A yes is kept for two seconds at most, by a
keyed hash of every header that credentials can be in; anything else is asked again each time.

Is keeping it worth while? Measured against Elasticsearch 9.2.4 on two cores: a warm question takes
0.3 ms of this process's time and 0.6 ms in all (3 ms when the machine is busy), a remembered yes
0.01 ms. So it is: otherwise asking would cost about as much as the inference itself. Keeping it
longer would gain a busy caller nothing, and let revoked keys live on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from aiohttp import (
    ClientConnectionError,
    ClientConnectorError,
    ClientError,
    ClientPayloadError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
    hdrs,
)
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from proxy.authorization import (
    CREDENTIAL_HEADERS,
    RUN_AS,
    Action,
    Allowed,
    CredentialHash,
    Refused,
    Verdict,
)
from proxy.config import UpstreamConfig
from proxy.errors import (
    IllegalArgument,
    ProxyError,
    Unauthenticated,
    Unauthorized,
    UpstreamRefusal,
    UpstreamTimedOut,
    UpstreamUnavailable,
)
from proxy.singleflight import SingleFlight
from proxy.upstream.nodes import Node, Nodes
from proxy.upstream.session import UpstreamResponse, ask
from proxy.upstream.tls import upstream_tls

FRESHNESS: Final = 2.0  # seconds that a yes is kept
OPEN_FRESHNESS: Final = 5.0  # seconds that "security is off" is kept
MAX_REMEMBERED: Final = 10_000
ANSWER_LIMIT: Final = 1024 * 1024  # bytes
HEAD_LIMIT: Final = 65536  # bytes of a header

_FORWARDED: Final = (*CREDENTIAL_HEADERS, "X-Opaque-Id", "traceparent")
_ASK: Final = "/_security/user/_has_privileges"
_WHO: Final = "/_security/_authenticate"
_ASK_ACTION: Final = "cluster:admin/xpack/security/user/has_privileges"
# What an Elasticsearch without security answers to GET _WHO: 9, and 7 to 8.
_SECURITY_OFF: Final = (
    (400, {"error": f"no handler found for uri [{_WHO}] and method [GET]"}),
    (
        405,
        {
            "error": f"Incorrect HTTP method for uri [{_WHO}] and method [GET], allowed: [POST]",
            "status": 405,
        },
    ),
)


ALLOWED: Final = Allowed(authenticated=True)
OPEN: Final = Allowed(authenticated=False)  # security is off


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What the upstream said; `body` is None when it is not JSON."""

    status: int
    body: Any
    challenges: Sequence[str]
    product: str | None

    def refusal(self, old: str, new: str) -> UpstreamRefusal | None:
        """Passed on with `old` replaced by `new` in its texts; None if it is no error at all."""
        match self.body:
            case {"error": {"type": str(), "reason": str()}}:
                kind = Unauthenticated if self.status == 401 else UpstreamRefusal
                return kind(self.status, _replaced(self.body, old, new), self.challenges)
        return None


@dataclass(frozen=True, slots=True)
class _Passed(Refused):
    """The upstream's own refusal, passed on."""

    refusal: UpstreamRefusal

    async def error(self) -> ProxyError:
        return self.refusal


@dataclass(frozen=True, slots=True)
class _Denied(Refused):
    """A plain no, told in Elasticsearch's words."""

    privileges: Privileges
    headers: CIMultiDict[str]
    action: Action
    username: str

    async def error(self) -> ProxyError:
        subject = await self.privileges.subject(self.headers) or f"user [{self.username}]"
        return Unauthorized(
            f"action [{self.action.value}] is unauthorized for {subject}, this action is granted "
            f"by the cluster privileges [{','.join(self.action.granted_by)}]"
        )


class Privileges:
    """Asks the upstream whether callers may. Without an upstream there is nobody to ask: all may.

    The session has no credentials: an anonymous caller must not borrow the proxy's own.
    """

    def __init__(
        self,
        upstream: UpstreamConfig,
        nodes: Nodes | None = None,
        *,
        freshness: float = FRESHNESS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._upstream = upstream
        self._nodes = Nodes(*upstream.urls) if nodes is None else nodes
        self._freshness = freshness
        self._clock = clock
        self._session: ClientSession | None = None
        self._hash = CredentialHash()
        self.asked = 0  # questions put to the upstream
        self.remembered = 0  # requests that needed none
        self._granted: dict[bytes, float] = {}  # until when; the oldest first
        self._open_until = 0.0  # so long security is known to be off
        self._asking: SingleFlight[bytes, _Answer] = SingleFlight()
        self._probing: SingleFlight[None, bool] = SingleFlight()

    async def open(self) -> None:
        """Raises: ConfigError for a CA file that cannot be used."""
        upstream = self._upstream
        self._session = ClientSession(
            connector=TCPConnector(limit=0, ssl=upstream_tls(upstream) or True),
            timeout=ClientTimeout(
                total=upstream.check_timeout, sock_connect=upstream.connect_timeout
            ),
            cookie_jar=DummyCookieJar(),  # one caller's cookie is not another's
            auto_decompress=False,
            response_class=UpstreamResponse,
            trust_env=False,
            max_line_size=HEAD_LIMIT,
            max_field_size=HEAD_LIMIT,
            skip_auto_headers=(hdrs.ACCEPT_ENCODING, hdrs.USER_AGENT),
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def ping(self) -> None:
        """Whether the upstream answers at all. Raises: UpstreamError."""
        if self._nodes:
            await self._call(hdrs.METH_GET, _WHO, CIMultiDict())

    async def check(self, headers: CIMultiDictProxy[str], target: str, action: Action) -> Verdict:
        """The verdict on a caller who is known; `target` is the raw target of its request.

        Raises: Unauthenticated at once, as authentication comes first; IllegalArgument for two
        values of one header; UpstreamUnavailable and UpstreamTimedOut when nobody can tell.
        """
        sent = _forwarded(headers)
        now = self._clock()
        if not self._nodes or now < self._open_until:
            return OPEN
        key = self._key(sent, action)
        if self._granted.get(key, now) > now:
            self.remembered += 1
            return ALLOWED
        answer = await self._asking.run(key, lambda: self._ask(sent, action, key))
        match answer.status:
            case 200:
                if (granted := _granted(answer, action)) is not None:
                    name = answer.body.get("username")
                    return ALLOWED if granted else _Denied(self, sent, action, name)
            case 401 if refusal := answer.refusal(f"request [{_ASK}]", f"request [{target}]"):
                raise refusal
            case 403 if refusal := answer.refusal(f"[{_ASK_ACTION}]", f"[{action.value}]"):
                return _Passed(refusal)
            case 400:
                # Perhaps there is no security to ask, but that is never learned from a caller's
                # request: other 400s can be had at will.
                if await self._probing.run(None, self._probe):
                    return OPEN
                if refusal := answer.refusal("", ""):
                    raise refusal
        raise UpstreamUnavailable(
            f"The upstream cannot tell whether the caller may: it answered with [{answer.status}]"
        )

    def _key(self, sent: CIMultiDict[str], action: Action) -> bytes:
        credentials = [(name, sent.getall(name, [])) for name in CREDENTIAL_HEADERS]
        return self._hash.of((action.value, credentials))

    async def _ask(self, sent: CIMultiDict[str], action: Action, key: bytes) -> _Answer:
        asked_at = self._clock()
        self.asked += 1
        answer = await self._call(hdrs.METH_POST, _ASK, sent, {"cluster": [action.value]})
        self._granted.pop(key, None)
        if answer.status == 200 and _granted(answer, action):
            self._granted[key] = asked_at + self._freshness
            while len(self._granted) > MAX_REMEMBERED:
                del self._granted[next(iter(self._granted))]
        return answer

    async def _probe(self) -> bool:
        """Whether security is off, by a request that no caller has any part in."""
        asked_at = self._clock()
        answer = await self._call(hdrs.METH_GET, _WHO, CIMultiDict())
        if answer.product != "Elasticsearch" or (answer.status, answer.body) not in _SECURITY_OFF:
            return False
        self._open_until = asked_at + OPEN_FRESHNESS
        return True

    # Refusals

    async def subject(self, sent: CIMultiDict[str]) -> str | None:
        """Who is refused, in Elasticsearch's words; None if the upstream does not say.

        Source: AuthorizationDenialMessages.
        """
        effective = await self._call(hdrs.METH_GET, _WHO, sent)
        authenticated = effective
        if RUN_AS in sent:
            own = CIMultiDict((name, value) for name, value in sent.items() if name != RUN_AS)
            authenticated = await self._call(hdrs.METH_GET, _WHO, own)
        if effective.status != 200 or authenticated.status != 200:
            return None
        return describe_subject(authenticated.body, effective.body, runs_as=RUN_AS in sent)

    # Calling

    async def _call(
        self, method: str, path: str, headers: CIMultiDict[str], body: Any = None
    ) -> _Answer:
        """The upstream's answer, whatever it is. Asking twice does no harm, so neither stale idle
        connections nor a node that dies are a failure."""
        try:
            try:
                return await self._call_once(method, path, headers, body)
            except (ClientConnectorError, TimeoutError):
                raise
            except (ClientConnectionError, ClientPayloadError):
                return await self._call_once(method, path, headers, body)
        # None is kept as a cause: their texts hold addresses or headers.
        except TimeoutError:
            raise UpstreamTimedOut("The upstream did not tell in time who the caller is") from None
        except ClientConnectorError:
            raise UpstreamUnavailable(
                "The upstream that knows who the caller is cannot be reached"
            ) from None
        except ClientError:
            raise UpstreamUnavailable(
                "The upstream did not answer properly when asked who the caller is"
            ) from None

    async def _call_once(
        self, method: str, path: str, headers: CIMultiDict[str], body: Any
    ) -> _Answer:
        session = self._session
        if session is None:
            raise UpstreamUnavailable("The privilege check is not open")
        headers = headers.copy()
        headers[hdrs.ACCEPT] = "application/json"
        if body is not None:
            headers[hdrs.CONTENT_TYPE] = "application/json"
        if self._upstream.host is not None:
            headers[hdrs.HOST] = self._upstream.host

        async def send(node: Node) -> ClientResponse:
            return await session.request(
                method,
                URL(node.name).with_path(path),
                headers=headers,
                data=None if body is None else orjson.dumps(body),
                allow_redirects=False,
            )

        async with await ask(self._nodes, send, repeatable=True) as response:
            return _Answer(
                status=response.status,
                body=await _read_json(response),
                challenges=response.headers.getall(hdrs.WWW_AUTHENTICATE, []),
                product=response.headers.get("X-Elastic-Product"),
            )


def describe_subject(
    authenticated: Mapping[str, Any], effective: Mapping[str, Any], *, runs_as: bool
) -> str | None:
    """Who acts, as Elasticsearch's refusals say it; None for bodies that say it otherwise.

    Both are bodies of `_authenticate`: of who has proved to be somebody, and of who acts.
    """
    try:
        text = f"user [{authenticated['username']}]"
        realm = authenticated["authentication_realm"]["type"]
        if realm == "_service_account":
            text = f"service account [{authenticated['username']}]"
        elif realm == "_es_api_key":
            text = f"API key id [{authenticated['api_key']['id']}] of {text}"
        if runs_as:
            text += f" run as [{effective['username']}]"
        elif realm in ("_service_account", "_es_api_key"):
            return text  # they have privileges, but no roles
        roles = ",".join(sorted(set(effective["roles"])))
        return f"{text} with effective roles [{roles}]"
    except (KeyError, TypeError):
        return None


def _forwarded(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    """The headers that decide who the caller is, under one spelling each, duplicates kept.

    Raises: IllegalArgument for different values of one header, as Elasticsearch does whether
    security is on or off.
    """
    sent: CIMultiDict[str] = CIMultiDict()
    for name in _FORWARDED:
        values = headers.getall(name, [])
        if len(set(values)) > 1:
            raise IllegalArgument(f"multiple values for single-valued header [{name}].")
        for value in values:
            try:
                value.encode()
            except UnicodeEncodeError:  # aiohttp would leave the header out
                raise IllegalArgument(f"the value of header [{name}] is not UTF-8") from None
            sent.add(name, value)
    return sent


def _granted(answer: _Answer, action: Action) -> bool | None:
    """Yes, no, or neither: nothing but JSON's own `true` is a yes."""
    match answer.body:
        case {"cluster": {**cluster}} if isinstance(cluster.get(action.value), bool):
            return bool(cluster[action.value])
    return None


def _replaced(value: Any, old: str, new: str) -> Any:
    """A JSON value with `old` replaced in all its texts."""
    match value:
        case str():
            return value.replace(old, new) if old else value
        case dict():
            return {key: _replaced(inner, old, new) for key, inner in value.items()}
        case list():
            return [_replaced(inner, old, new) for inner in value]
    return value


async def _read_json(response: ClientResponse) -> Any:
    """The body, or None when it is not JSON, or too long to be an answer to what was asked."""
    content = b""
    while piece := await response.content.readany():
        content += piece
        if len(content) > ANSWER_LIMIT:
            return None
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
