from __future__ import annotations

import asyncio
import errno
import socket
from contextlib import asynccontextmanager
from ipaddress import ip_address

import pytest
from aiohttp import ClientConnectorError, ClientError, ClientSession
from aiohttp.abc import AbstractResolver
from yarl import URL

from proxy.app import make_application
from proxy.config import Config, ConfigError, EgressConfig, StoreConfig
from proxy.huggingface import egress
from proxy.huggingface.egress import EgressRules, is_denied, is_never_reached, unwrap
from proxy.inference.urls import url_problem
from tests.support.egress import egress_rules
from tests.support.stubs import FaultyServer, json_reply

NEVER = [
    "169.254.169.254",
    "169.254.170.2",
    "169.254.0.1",
    "0.0.0.0",
    "0.1.2.3",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "::",
    "fe80::1",
    "febf::1",
    "fe80::1%1",
    "ff02::1",
    "fec0::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "4000::1",
    "::ffff:169.254.169.254",
    "::ffff:0.0.0.0",
    "::169.254.169.254",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::1",
    "2002:a9fe:a9fe::1",
    "2001:0:1:1:0:0:5601:5601",  # Teredo: the client's address inverted
    "64:ff9b::224.0.0.1",
]
REACHED = [
    "127.0.0.1",
    "127.8.9.10",
    "::1",
    "::ffff:127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "192.0.0.193",
    "fd12:3456::1",
    "8.8.8.8",
    "2606:4700::1111",
    "64:ff9b::8.8.8.8",
    "2002:808:808::1",
]


@pytest.mark.parametrize("address", NEVER)
def test_some_addresses_are_never_reached(address):
    assert is_never_reached(unwrap(ip_address(address)))
    for allow in ((), ("0.0.0.0/0", "::/0"), ("model",)):
        assert egress_rules(EgressConfig(allow=allow)).denies(address, 80)
        assert egress_rules(EgressConfig(allow=allow)).denies(address, 80, named=True)


@pytest.mark.parametrize("address", REACHED)
def test_others_are_by_default(address):
    assert not egress_rules(EgressConfig()).denies(address, 80)


def test_an_allow_list_leaves_nothing_else():
    allow = (
        "10.0.0.0/8",
        "192.168.1.7",
        "fd12::/16",
        "[fd99::1]",
        "2606:4700::1111",
        "model.example",
    )
    rules = egress_rules(EgressConfig(allow=allow))
    allowed = [
        "10.9.9.9",
        "192.168.1.7",
        "fd12:1::1",
        "fd99::1",
        "2606:4700::1111",
        "::ffff:10.1.1.1",
    ]
    for address in allowed:
        assert not rules.denies(address, 80)
    for address in ("127.0.0.1", "::1", "8.8.8.8", "192.168.1.8", "fd13::1", "::ffff:8.8.8.8"):
        assert rules.denies(address, 80)
        assert not rules.denies(address, 80, named=True)


@pytest.mark.parametrize("entry", ["", "http://x", "a b", "10.0.0.0/99", "*", "a..b", "x:80", "é"])
def test_an_entry_that_is_neither_name_nor_network_is_refused(entry):
    with pytest.raises(ConfigError, match=r"\[egress.allow\]"):
        egress_rules(EgressConfig(allow=(entry,)))


# Through aiohttp


class Resolver(AbstractResolver):
    """Names of the tests' own."""

    def __init__(self, **addresses: str) -> None:
        self._addresses = addresses

    async def resolve(self, host, port=0, family=socket.AF_INET):
        address = self._addresses[host.replace(".", "_").replace("-", "_")]
        found = socket.AF_INET6 if ":" in address else socket.AF_INET
        entry = {"hostname": host, "host": address, "port": port, "family": found}
        return [{**entry, "proto": 0, "flags": socket.AI_NUMERICHOST}]

    async def close(self):
        pass


@asynccontextmanager
async def calling(rules: EgressRules, **options):
    async with ClientSession(connector=rules.connector(**options)) as session:

        async def call(url: str, **more):
            async with asyncio.timeout(3):
                url_ = URL(url, encoded="%" in url)
                async with session.get(url_, allow_redirects=False, **more) as answer:
                    return answer.status

        yield call


async def assert_denied(call, url: str, **more) -> None:
    with pytest.raises(ClientError) as error:
        await call(url, **more)
    assert is_denied(error.value), (url, error.value)


@pytest.fixture
async def server():
    async with FaultyServer([json_reply({})]) as server:
        yield server


def port_of(server) -> int:
    return URL(server.url).port or 0


async def test_a_model_server_beside_the_proxy_is_reached(server):
    async with calling(egress_rules(EgressConfig())) as call:
        assert await call(server.url) == 200
        assert await call(f"http://localhost:{port_of(server)}") == 200


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:a9fe:a9fe::]",
        "[fe80::1%251]",
        "0xa9fea9fe",
        "①⑥⑨.②⑤④.①⑥⑨.②⑤④",
        "169。254。169。254",
        "0",
        "0.0.0.0",
        "[::]",
        "[::ffff:0:0]",
    ],
)
async def test_no_notation_of_a_denied_address_is_connected(host, server):
    async with calling(egress_rules(EgressConfig())) as call:
        with pytest.raises((ClientError, ValueError)) as error:
            await call(f"http://{host}:{port_of(server)}/")
        # aiohttp refuses some of them by itself.
        assert is_denied(error.value) or "Cannot connect" not in str(error.value)
    assert server.calls == []


async def test_a_name_is_judged_by_the_address_that_is_connected(server):
    resolver = Resolver(rebound_test="169.254.169.254", mapped_test="::ffff:169.254.169.254")
    async with calling(egress_rules(EgressConfig()), resolver=resolver) as call:
        await assert_denied(call, "http://rebound.test/")
        await assert_denied(call, "http://mapped.test/")


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0x7f000001", "①②⑦.⓪.⓪.①", "127.0.0.2"],
)
async def test_the_proxy_itself_is_not_reached(host, server):
    rules = egress_rules(EgressConfig(allow=("127.0.0.0/8", "localhost")))
    rules.protect_port(port_of(server))
    async with calling(rules) as call:
        await assert_denied(call, f"http://{host}:{port_of(server)}/")
    assert server.calls == []


async def test_the_proxys_listeners_are_known_from_the_configuration(server):
    rules = egress_rules(EgressConfig(), listeners=[f"0.0.0.0:{port_of(server)}", "127.0.0.1:1"])
    async with calling(rules) as call:
        await assert_denied(call, server.url)
    assert not rules.denies("8.8.8.8", port_of(server))  # the port of another machine is its own


@pytest.mark.parametrize("upstream", ["127.0.0.1", "localhost", "127.0.0.9"])
async def test_the_upstream_is_not_reached(upstream, server):
    port = port_of(server)
    rules = egress_rules(EgressConfig(), upstream=[f"http://{upstream}:{port}"])
    async with calling(rules) as call, FaultyServer([json_reply({})]) as other:
        for host in ("127.0.0.1", "localhost", "LOCALHOST", "[::ffff:127.0.0.1]", "127.0.0.3"):
            await assert_denied(call, f"http://{host}:{port}/_bulk")
        assert await call(other.url) == 200
    assert server.calls == []


async def test_an_upstream_elsewhere_denies_its_own_address_alone():
    rules = egress_rules(EgressConfig(), upstream=["https://203.0.113.9"])
    await rules.refresh()
    assert rules.denies("203.0.113.9", 443)
    assert rules.denies("::ffff:203.0.113.9", 443)
    assert not rules.denies("203.0.113.9", 8080)
    assert not rules.denies("203.0.113.10", 443)
    assert not rules.denies("127.0.0.1", 443)


async def test_an_upstream_that_cannot_be_resolved_is_looked_up_again():
    now = 0.0
    rules = egress_rules(
        EgressConfig(), upstream=["http://no-such-host.invalid:9200"], clock=lambda: now
    )
    await rules.refresh()
    await rules.refresh()
    assert not rules.denies("127.0.0.1", 9200)
    rules._upstream = [URL("http://127.0.0.1:9200")]  # stands for DNS that answers at last
    await rules.refresh()
    assert not rules.denies("127.0.0.1", 9200)
    now += 31
    await rules.refresh()
    assert rules.denies("127.0.0.1", 9200)


async def test_addresses_that_the_upstream_had_before_stay_denied():
    now = 0.0
    rules = egress_rules(EgressConfig(), upstream=["http://localhost:9200"], clock=lambda: now)
    for last in range(1, 60):
        rules._upstream = [URL(f"http://203.0.113.{last}:9200")]  # stands for DNS that rotates
        await rules.refresh()
        now += 31
    assert all(rules.denies(f"203.0.113.{last}", 9200) for last in range(1, 60))
    assert not rules.denies("203.0.113.60", 9200)
    assert not rules.denies("203.0.113.1", 9201)


async def test_of_the_upstreams_addresses_the_latest_are_remembered(monkeypatch):
    monkeypatch.setattr(egress, "MOST_ADDRESSES", 10)
    rules = egress_rules(EgressConfig(), upstream=["http://localhost:9200"])
    for last in range(1, 60):
        rules._remember([ip_address("203.0.113.250"), ip_address(f"203.0.113.{last}")], 9200)
    assert rules.denies("203.0.113.59", 9200)
    assert rules.denies("203.0.113.250", 9200)
    assert not rules.denies("203.0.113.1", 9200)
    assert len(rules._upstream_addresses) == 10


async def test_an_allowed_name_may_be_anywhere_but_at_addresses_never_reached(server):
    port = port_of(server)
    resolver = Resolver(
        model_test="127.0.0.1", a_model_test="127.0.0.1", evil_test="127.0.0.1", bad_test="0.0.0.0"
    )
    rules = egress_rules(EgressConfig(allow=("Model.test.", "*.model.test", "bad.test")))
    async with calling(rules, resolver=resolver) as call:
        assert await call(f"http://model.test:{port}/") == 200
        assert await call(f"http://MODEL.test:{port}/") == 200
        assert await call(f"http://a.model.test:{port}/") == 200
        await assert_denied(call, f"http://evil.test:{port}/")
        await assert_denied(call, f"http://127.0.0.1:{port}/")
        await assert_denied(call, f"http://bad.test:{port}/")
    assert len(server.calls) == 3


async def test_connections_that_are_kept_lend_nothing_to_others(server):
    port = port_of(server)
    rules = egress_rules(EgressConfig(allow=("localhost",)))
    async with calling(rules) as call:
        for _ in range(2):
            assert await call(f"http://localhost:{port}/") == 200
            await assert_denied(call, f"http://127.0.0.1:{port}/")
        calls = [call(f"http://{h}:{port}/") for h in ("localhost", "127.0.0.1") for _ in range(9)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert outcomes[:9] == [200] * 9
    assert all(is_denied(o) for o in outcomes[9:] if isinstance(o, BaseException))
    assert all(isinstance(outcome, ClientError) for outcome in outcomes[9:])


async def test_a_refused_connection_is_not_taken_for_a_denied_one():
    async with calling(egress_rules(EgressConfig())) as call:
        with pytest.raises(ClientError) as error:
            await call("http://127.0.0.1:1/")
    assert not is_denied(error.value)
    assert not is_denied(None)


async def test_a_network_that_gives_up_is_not_taken_for_the_end_of_our_patience(monkeypatch):
    async def give_up(*_, **__):
        raise OSError(errno.ETIMEDOUT, "Connection timed out")

    async with calling(egress_rules(EgressConfig())) as call:
        monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", give_up)
        with pytest.raises(ClientConnectorError):
            await call("http://127.0.0.1:1/")


async def test_a_refusal_tells_no_address():
    resolver = Resolver(inner_test="169.254.7.7")
    async with calling(egress_rules(EgressConfig()), resolver=resolver) as call:
        with pytest.raises(ClientError) as error:
            await call("http://inner.test/")
    assert "169.254" not in str(error.value)


# Through a forward proxy


@pytest.mark.parametrize("proxy", ["http://proxy.test:3128", "environment"])
def test_a_forward_proxy_needs_an_allow_list(proxy):
    with pytest.raises(ConfigError, match=r"^\[egress.proxy\] needs \[egress.allow\]: "):
        egress_rules(EgressConfig(proxy=proxy))
    egress_rules(EgressConfig(proxy=proxy, allow=("model.test",)))


async def test_behind_a_forward_proxy_names_and_literal_addresses_are_judged(server):
    proxy = {"proxy": server.url}
    rules = egress_rules(EgressConfig(), upstream=["http://elastic.test:9200"])
    async with calling(rules) as call:
        assert await call("http://model.test/", **proxy) == 200
        for host in ("169.254.169.254", "[::ffff:a9fe:a9fe]", "0xa9fea9fe", "2852039166", "0"):
            await assert_denied(call, f"http://{host}/", **proxy)
        await assert_denied(call, "http://elastic.test:9200/x/_doc", **proxy)
    assert len(server.calls) == 1


async def test_behind_a_forward_proxy_the_allow_list_goes_by_name(server):
    proxy = {"proxy": server.url}
    rules = egress_rules(EgressConfig(allow=("model.test", "10.0.0.0/8")))
    async with calling(rules) as call:
        assert await call("http://model.test/", **proxy) == 200
        assert await call("http://10.1.2.3/", **proxy) == 200
        await assert_denied(call, "http://other.test/", **proxy)
        await assert_denied(call, "http://11.1.2.3/", **proxy)
        await assert_denied(call, server.url)  # without it, its address is like any other
    assert len(server.calls) == 2


# The texts of URLs


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.\r\n0.1/",
        "http://127.0.0.1/\tx",
        "http://a b/",
        "http://a\\b/",
        "http://a/\x00",
        "http://\u200bhost/",
        "http://user@host/",
        "http://user:password@host/",
        "http://host:0/",
        "http://host:65536/",
        "http://host:x/",
        "http:///path",
        "http:host",
        "//host/",
        "host/",
        "ws://host/",
        "wss://host/",
        "file:///etc/passwd",
        "gopher://host/",
        "unix:///var/run/docker.sock",
        "",
        " http://host/",
        "http://host/%zz",
        "http://[::1/",
        "http://[zz]/",
    ],
)
def test_texts_that_never_become_a_call(text):
    assert url_problem(text) is not None


@pytest.mark.parametrize(
    "text", ["http://h/", "HTTPS://h:1/a?b#c", "http://[::1]:8080", "http://h"]
)
def test_texts_that_do(text):
    assert url_problem(text) is None


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/x", "http://127.0.0.1:9297/x", "http://localhost:9297/x"]
)
async def test_a_caller_is_told_that_an_address_is_not_allowed(aiohttp_client, tmp_path, url):
    store = StoreConfig(kind=f"sqlite:{tmp_path}/endpoints.db", encryption_key="6b" * 32)
    client = await aiohttp_client(make_application(Config(listen="127.0.0.1:9297", store=store)))
    body = {"service": "hugging_face", "service_settings": {"url": url, "api_key": "secret"}}
    answer = await client.put("/_inference/text_embedding/one", json=body)
    cause = (await answer.json())["error"]["caused_by"]
    assert answer.status == 400
    assert cause["reason"] == f"Invalid host [{url}], its address is not allowed."
