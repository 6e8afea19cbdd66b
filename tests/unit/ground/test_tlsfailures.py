"""Every side of the proxy names what is wrong with an upstream's TLS, without its address."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.config import StoreConfig
from proxy.ground.errors import ProxyError
from proxy.ground.tlsfailures import TlsProbe
from proxy.inference.actions import InferenceAction
from proxy.store.elasticsearch import ElasticsearchStore
from proxy.upstream.tls import connection_problem, upstream_tls
from tests.support.certificates import contexts
from tests.support.lanes import make_lane
from tests.support.peers import GET, Peer
from tests.support.tlspeers import MISFITS, Misfit, misfit
from tests.support.upstreams import open_forwarder, open_privileges

STATUS = {True: 502, False: 503}  # by whether a connection is made

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(params=MISFITS)
async def found(request, tmp_path):
    async with misfit(request.param, tmp_path) as one:
        yield one


def is_told(found: Misfit, error: ProxyError | str, log: str, *, names: bool = True) -> None:
    """The reason is in the reply, without the address, and once in the log, with it."""
    assert found.text in str(error)
    assert "127.0.0" not in str(error)
    assert log.count(found.text) == 1, log
    assert found.url in log or not names


async def test_the_lane_tells(found, caplog):
    lane = make_lane(found.url, connect_timeout=5, ssl=upstream_tls(found.upstream))
    address = await lane.listen("127.0.0.1", 0)
    for _ in range(3):
        caller = Peer(*await asyncio.open_connection(*address))
        await caller.send(GET)
        error = await caller.error(STATUS[found.text.startswith("speaks")])
        await caller.close()
    is_told(found, error["reason"], caplog.text)
    await lane.drain(1)


async def test_the_application_tells(found, caplog):
    app = web.Application()

    async def hand_on(request: web.Request) -> web.StreamResponse:
        try:
            return await forwarder.hand_on(request)
        except ProxyError as error:
            return web.Response(status=error.status, text=str(error))

    app.router.add_route("*", "/{path:.*}", hand_on)
    async with AsyncExitStack() as stack:
        forwarder = await stack.enter_async_context(open_forwarder(found.upstream))
        client = await stack.enter_async_context(TestClient(TestServer(app)))
        for _ in range(3):
            async with client.get("/x") as answer:
                assert answer.status == STATUS[found.text.startswith("speaks")]
                text = await answer.text()
    is_told(found, text, caplog.text)


async def test_privilege_checks_tell(found, caplog):
    async with open_privileges(found.upstream) as privileges:
        for _ in range(3):
            with pytest.raises(ProxyError) as caught:
                await privileges.check(
                    CIMultiDictProxy(CIMultiDict()), "/_inference", InferenceAction.GET
                )
    assert caught.value.status == 503
    is_told(found, caught.value, caplog.text)


async def test_the_store_tells(found, caplog, tmp_path):
    config = StoreConfig(encryption_key="11" * 32)
    store = ElasticsearchStore(found.upstream, config, folder=tmp_path)
    await store.open()
    for _ in range(3):
        with pytest.raises(ProxyError) as caught:
            await store.get("e1")
    await store.close()
    assert caught.value.status == 503
    is_told(found, caught.value, caplog.text, names=False)


async def test_a_start_tells(found):
    context = upstream_tls(found.upstream)
    problem = await connection_problem(found.url, TlsProbe(found.url), context, 5)
    assert found.text in str(problem)


async def test_a_probe_is_rare_and_believes_an_answer(tmp_path):
    now = [0.0]
    handshakes = 0
    server_context, _ = contexts(tmp_path)

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal handshakes
        handshakes += 1
        writer.close()

    server = await asyncio.start_server(count, "127.0.0.1", 0, ssl=server_context)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    probe = TlsProbe(url, lambda: now[0])
    assert await asyncio.gather(*(probe.speaks_tls() for _ in range(9))) == [True] * 9
    probe.rule_out()
    assert (probe.may_tell, await probe.speaks_tls()) == (False, False)
    now[0] = 31.0
    assert (probe.may_tell, await probe.speaks_tls()) == (True, True)
    assert not TlsProbe(url.replace("http:", "https:")).may_tell
    server.close()
    await server.wait_closed()
    assert handshakes <= 2


async def test_one_that_is_not_there_speaks_no_tls():
    assert not await TlsProbe("http://127.0.0.1:1").speaks_tls()
    problem = await connection_problem(
        "http://127.0.0.1:1", TlsProbe("http://127.0.0.1:1"), None, 5
    )
    assert problem is not None
    assert "TLS" not in problem


async def test_unverified_certificates_are_taken(tmp_path):
    async with misfit("is not trusted", tmp_path) as found:
        upstream = replace(found.upstream, verify=False)
        context = upstream_tls(upstream)
        assert await connection_problem(found.url, TlsProbe(found.url), context, 5) is None
