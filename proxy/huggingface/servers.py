"""The servers behind endpoints: what is known of each, and how many calls it has under way.

What a server says about itself is asked for behind the callers' backs, once it has answered one of
them; it helps where it is known, and nothing needs it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable
from dataclasses import replace
from typing import Final

import aiohttp
import orjson

from proxy.config import ProviderConfig
from proxy.ground.background import Background
from proxy.ground.frames import forget_frames
from proxy.ground.masking import bare_url
from proxy.ground.sessions import on_live_connection
from proxy.huggingface.info import ServerInfo, info_url, parse_info
from proxy.huggingface.knownmodels import KnownModel, known_model
from proxy.huggingface.places import Places
from proxy.huggingface.redaction import shown_text
from proxy.huggingface.retry import Clock
from proxy.huggingface.sizes import Sizes
from proxy.inference.endpoints import InferenceEndpoint, TaskType

_MANY: Final = 1000  # servers; those that have nothing under way are dropped beyond that
_MAX_INFO: Final = 64 * 1024  # bytes
_INFO_TIMEOUT: Final = 5.0  # seconds
_ASKED_AT_ONCE: Final = 8
_AGAIN: Final = 900.0  # seconds until it is asked again
_SOON: Final = 30.0  # the same after a sign that it is another server now
_UNSEEN: Final = 60.0  # seconds without an answer in which it may have become another one

log = logging.getLogger(__name__)


class Server:
    """A server as one token sees it."""

    def __init__(self, most_inputs: int, clock: Clock) -> None:
        self.info: ServerInfo | None = None
        self.sizes = Sizes(most_inputs, clock)
        self.places = Places(clock)
        self.ask_at = 0.0  # not before
        self.asked_at = float("-inf")
        self.answered_at = float("inf")
        self.interruptions = 0  # how often it was away, or seemed so, or may have been
        self.is_offered = False  # what its model expects texts to begin with

    def may_have_changed(self) -> None:
        """Something suggests that it is not what it was."""
        self.ask_at = min(self.ask_at, self.asked_at + _SOON)


class Servers:
    """What is known of all servers; one for each process."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        config: ProviderConfig,
        clock: Clock = time.monotonic,
    ) -> None:
        self._session = session
        self._config = config
        self._clock = clock
        self._servers: dict[int, Server] = {}  # by the hash, as URLs and tokens may be long
        self._many = _MANY
        self._asking = Background()

    async def close(self) -> None:
        """End what goes on in the background."""
        await self._asking.close()

    def of(self, endpoint: InferenceEndpoint) -> Server:
        """The server of an endpoint."""
        key = hash((endpoint.service_settings.url, endpoint.secret_settings.api_key))
        server = self._servers.get(key)
        if server is None:
            if len(self._servers) >= self._many:
                self._drop_idle()
            server = self._servers[key] = Server(self._config.max_batch_inputs, self._clock)
        return server

    def answered(self, endpoint: InferenceEndpoint, *, is_tei: bool) -> None:
        """The server has answered a call: a good moment to ask it what it is.

        Only text-embeddings-inference is asked, as it alone has something to say.
        """
        server, now = self.of(endpoint), self._clock()
        if now - server.answered_at >= _UNSEEN:  # nobody would have noticed
            server.interruptions += 1
        server.answered_at = now
        if not is_tei:
            self._offer_prefixes(server, endpoint, None)
            return
        if not self._config.server_info or now < server.ask_at:
            return
        if len(self._asking) >= _ASKED_AT_ONCE:
            return
        server.asked_at, server.ask_at = now, now + _AGAIN
        self._asking.start(self._ask(server, endpoint))

    async def _ask(self, server: Server, endpoint: InferenceEndpoint) -> None:
        info = await self._told(endpoint)
        self._offer_prefixes(server, endpoint, info)
        if info is not None and info != server.info:
            log_server(endpoint, info)
        server.info = info
        server.sizes.told(None if info is None else info.max_inputs)

    def _offer_prefixes(
        self, server: Server, endpoint: InferenceEndpoint, info: ServerInfo | None
    ) -> None:
        """Tell once of a model that expects prefixes, where none are configured."""
        if server.is_offered or endpoint.task_type is not TaskType.TEXT_EMBEDDING:
            return
        server.is_offered = True
        named = endpoint.service_settings.url if info is None else info.model_id
        model = known_model(named)
        if model is not None and not self._config.prefixes.of(endpoint.inference_id):
            log_prefixes(endpoint, model)

    async def _told(self, endpoint: InferenceEndpoint) -> ServerInfo | None:
        """What the server says; None where it says nothing of use, for whatever reason."""
        try:
            async with asyncio.timeout(_INFO_TIMEOUT):
                data = await self._read_info(endpoint)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            forget_frames(error)
            return None
        info = None if data is None else parse_info(data)
        if info is None:
            return None
        sha = info.model_sha
        return replace(
            info,
            model_id=shown_text(info.model_id, endpoint),
            model_sha=None if sha is None else shown_text(sha, endpoint),
        )

    async def _read_info(self, endpoint: InferenceEndpoint) -> bytes | None:
        url = info_url(endpoint.service_settings.url)
        if url is None:
            return None
        token = endpoint.secret_settings.api_key

        def send() -> Awaitable[aiohttp.ClientResponse]:
            return self._session.get(
                url,
                headers={"Accept": "application/json", "Authorization": f"Bearer {token}"},
                allow_redirects=False,
            )

        async with await on_live_connection(send) as answer:
            if answer.status != 200:
                return None
            data = b""
            while piece := await answer.content.read(_MAX_INFO + 1 - len(data)):
                data += piece
            return data if len(data) <= _MAX_INFO else None

    def _drop_idle(self) -> None:
        busy = {key: one for key, one in self._servers.items() if one.places.under_way}
        self._servers = busy
        self._many = max(_MANY, 2 * len(busy))


def log_server(endpoint: InferenceEndpoint, info: ServerInfo) -> None:
    """Tell once what an endpoint's server says that it is."""
    url = bare_url(endpoint.service_settings.url)
    log.info(
        "inference endpoint [%s] is served by %s (%s, %s)",
        endpoint.inference_id,
        info,
        endpoint.task_type,
        url,
        extra={
            "event.action": "provider-known",
            "url.full": url,
            "labels.inference_id": endpoint.inference_id,
            "labels.task_type": str(endpoint.task_type),
            "labels.model_id": info.model_id,
        },
    )


def log_prefixes(endpoint: InferenceEndpoint, model: KnownModel) -> None:
    """Tell which prefixes the model of an endpoint was trained with."""
    value = orjson.dumps({endpoint.inference_id: model.prefixes}).decode()
    log.info(
        "inference endpoint [%s] has a model of the family [%s], which finds more if texts begin "
        "with what they are: set [provider.prefixes] to %s before documents are embedded",
        endpoint.inference_id,
        model.family,
        value,
        extra={
            "event.action": "prefixes-offered",
            "labels.inference_id": endpoint.inference_id,
            "labels.model_family": model.family,
        },
    )
