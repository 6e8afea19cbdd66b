"""The real parts of the tests, each started once, when the first test asks for it.

The open and the secured Elasticsearch, the local provider, and `serve`, which starts proxies.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.endpoints import delete_all_endpoints
from tests.support.processes import Process, Serve, Server, clean_environ, command
from tests.support.users import ROLES, USERS, basic, store_credentials

if TYPE_CHECKING:
    from testbed.elasticsearch import RunningElasticsearch

CLUSTERS: Final = ("elasticsearch", "secured_elasticsearch")
RUNNING: Final[list[Process]] = []  # whose output a failing test shows
# A chat model on a busy machine may need longer than the 30 seconds of the default.
PATIENCE: Final = {"HFPROXY_PROVIDER_TIMEOUT": "120"}
MARKS = pytest.StashKey[dict[Process, int]]()
NEEDED = pytest.StashKey[set[str]]()


def pytest_configure() -> None:
    # A terminated run ends its children, as an interrupted one does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_collection_finish(session: pytest.Session) -> None:
    wanted = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    session.config.stash[NEEDED] = wanted.intersection(CLUSTERS)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    item.stash[MARKS] = {process: len(process.output) for process in RUNNING}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    """A failing test shows what the processes wrote while it ran."""
    report = yield
    if report.failed:
        marks = item.stash.get(MARKS, {})
        for process in RUNNING:
            text = process.output[marks.get(process, 0) :]
            if text:
                name = " ".join(process.arguments[2:])
                report.sections.append((f"output of {name} (pid {process.pid})", text))
    return report


@pytest.fixture(scope="session")
def clusters(
    request: pytest.FixtureRequest,
) -> Iterator[dict[str, Future[RunningElasticsearch]]]:
    """Those clusters that the selected tests need, starting side by side."""
    from testbed.elasticsearch import start

    def launch(name: str) -> RunningElasticsearch:
        if name == "elasticsearch":
            return start(port=0, secured=False, say=say)
        return start(port=0, secured=True, users=USERS, roles=ROLES, say=say)

    with ThreadPoolExecutor() as pool:
        needed: set[str] = request.config.stash[NEEDED]
        starting = {name: pool.submit(launch, name) for name in needed}
        try:
            yield starting
        finally:
            for future in starting.values():
                if future.exception() is None:
                    future.result().stop()


def say(_: str) -> None:
    """Progress of the start is of no interest here; failures are raised."""


@pytest.fixture(scope="session")
def elasticsearch(clusters: dict[str, Future[RunningElasticsearch]]) -> RunningElasticsearch:
    """A real Elasticsearch without security."""
    return clusters["elasticsearch"].result()


@pytest.fixture(scope="session")
def secured_elasticsearch(
    clusters: dict[str, Future[RunningElasticsearch]],
) -> RunningElasticsearch:
    """A real Elasticsearch with security on, and the users of tests/support/users.py."""
    return clusters["secured_elasticsearch"].result()


@pytest.fixture(scope="session")
def serve_for_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Starts proxies that live until the last test is done."""
    with Serve(tmp_path_factory.mktemp("state"), RUNNING) as serve:
        yield serve


@pytest.fixture
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Starts proxies that end with the test."""
    with Serve(tmp_path_factory.mktemp("state"), RUNNING) as serve:
        yield serve


@pytest.fixture(scope="session")
def provider(serve_for_session: Serve, tmp_path_factory: pytest.TempPathFactory) -> Server:
    """The local provider with its real models; `.url` serves every task."""
    environ = clean_environ(tmp_path_factory.mktemp("provider"))
    server = Server(command("provider", "--listen", "127.0.0.1:0"), environ)
    return serve_for_session.start(server, timeout=300)  # the first run fetches the models


@pytest.fixture(scope="session")
def proxy_for_session(serve_for_session: Serve, elasticsearch: RunningElasticsearch) -> Server:
    return serve_for_session(upstream=elasticsearch.url, env=PATIENCE)


@pytest.fixture(scope="session")
def secured_proxy_for_session(
    serve_for_session: Serve, secured_elasticsearch: RunningElasticsearch
) -> Server:
    env = PATIENCE | store_credentials()
    return serve_for_session(upstream=secured_elasticsearch.url, env=env)


@pytest.fixture
def open_proxy(proxy_for_session: Server) -> Server:
    """A proxy as users start it, in front of the open Elasticsearch, without endpoints yet."""
    delete_all_endpoints(proxy_for_session.url)
    return proxy_for_session


@pytest.fixture
def secured_proxy(secured_proxy_for_session: Server) -> Server:
    """The same in front of the secured Elasticsearch."""
    delete_all_endpoints(secured_proxy_for_session.url, basic("admin"))
    return secured_proxy_for_session
