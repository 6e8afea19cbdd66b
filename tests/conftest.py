"""The real parts of the tests, each started once, when the first test asks for it.

The open and the secured Elasticsearch, the local provider, and `serve`, which starts proxies. With
`-n 3` three processes run the tests, a file each at a time; they share the Elasticsearches.
"""

from __future__ import annotations

import gc
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Final

import pytest

from testbed.elasticsearch import Elasticsearch
from testbed.processes import Process, Server, proxy_command
from tests.support.endpoints import delete_all_endpoints
from tests.support.processes import Serve, clean_environ
from tests.support.security import give_elastic_its_password
from tests.support.shared import (
    OPEN,
    SECURED,
    STOCK,
    Clusters,
    ClusterServer,
    OwnClusters,
    RemoteClusters,
)
from tests.support.turns import Turns
from tests.support.users import basic, store_credentials

RUNNING: Final[list[Process]] = []  # whose output a failing test shows
# A chat model on a busy machine may need longer than the 30 seconds of the default.
PATIENCE: Final = {"HFPROXY_PROVIDER_TIMEOUT": "120"}
# The folders of tests, those first whose files take longest: what comes last fills up the gaps.
# But the very first ones wait more than they work, while Elasticsearch starts.
ORDER: Final = ("lane", "integration", "contract", "unit")
MARKS = pytest.StashKey[dict[Process, int]]()
CLUSTERS = pytest.StashKey[Clusters]()
TURNS = pytest.StashKey[Turns]()


# Several processes


def pytest_configure(config: pytest.Config) -> None:
    # A terminated run ends its children, as an interrupted one does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    workerinput: dict[str, str] | None = getattr(config, "workerinput", None)
    if workerinput is not None:
        config.stash[CLUSTERS] = RemoteClusters(workerinput["clusters"])
        config.stash[TURNS] = Turns(Path(workerinput["turns"]))
        return
    clusters = OwnClusters()
    config.stash[CLUSTERS] = clusters
    config.add_cleanup(clusters.close)
    if config.getoption("numprocesses", None):  # of pytest-xdist
        config.pluginmanager.register(_Workers(config, clusters))


class _Workers:
    """Tells workers where to find what they share with each other."""

    def __init__(self, config: pytest.Config, clusters: OwnClusters) -> None:
        self._server = ClusterServer(clusters)
        self._turns = tempfile.mkdtemp(prefix="turns-")
        config.add_cleanup(self._server.close)
        config.add_cleanup(lambda: shutil.rmtree(self._turns))

    @pytest.hookimpl
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput |= {"clusters": self._server.address, "turns": self._turns}


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Thousands of tests live until the end: the garbage collector need not look at them."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _place(item.path))


def _place(path: Path) -> int:
    folders = [ORDER.index(name) for name in ORDER if name in path.parts]
    return folders[0] if folders else len(ORDER)


def pytest_collection_finish(session: pytest.Session) -> None:
    if session.config.option.collectonly:
        return
    functions = [item for item in session.items if isinstance(item, pytest.Function)]
    wanted = {name for function in functions for name in function.fixturenames}
    versions = {
        str(function.callspec.params["older"])
        for function in functions
        if "older" in function.fixturenames
    }
    order = (OPEN, SECURED, *sorted(versions, reverse=True), STOCK)  # as they are needed
    names = [name for name in order if name in wanted | versions]
    session.config.stash[CLUSTERS].prepare(names)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None):
    """A test that is marked with `alone` runs while no other one does."""
    turns = item.config.stash.get(TURNS, None)
    if turns is None:
        turn: AbstractContextManager[None] = nullcontext()
    elif _is_alone(item):
        turn = turns.alone(goes_on=_is_alone(nextitem))
    else:
        turn = turns.beside_others()
    with turn:
        return (yield)


def _is_alone(item: pytest.Item | None) -> bool:
    return item is not None and item.get_closest_marker("alone") is not None


# Failures


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
                report.sections.append((f"output of {process.name} (pid {process.pid})", text))
    return report


# Parts


@pytest.fixture(scope="session")
def clusters(request: pytest.FixtureRequest) -> Clusters:
    return request.config.stash[CLUSTERS]


@pytest.fixture(scope="session")
def elasticsearch(clusters: Clusters) -> Elasticsearch:
    """A real Elasticsearch without security."""
    return clusters.get(OPEN)


@pytest.fixture(scope="session")
def secured_elasticsearch(clusters: Clusters) -> Elasticsearch:
    """A real Elasticsearch with security on, and the users of tests/support/users.py."""
    return clusters.get(SECURED)


@pytest.fixture(scope="session")
def stock_elasticsearch(clusters: Clusters) -> Elasticsearch:
    """A real Elasticsearch as it sets itself up: https, and `elastic` with the password ELASTIC."""
    running = clusters.get(STOCK)
    give_elastic_its_password(running)
    return running


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
    server = Server(proxy_command("provider", "--listen", "127.0.0.1:0"), environ)
    return serve_for_session.start(server, timeout=300)  # the first run fetches the models


@pytest.fixture(scope="session")
def proxy_for_session(serve_for_session: Serve, elasticsearch: Elasticsearch) -> Server:
    return serve_for_session(upstream=elasticsearch.url, env=PATIENCE)


@pytest.fixture(scope="session")
def secured_proxy_for_session(
    serve_for_session: Serve, secured_elasticsearch: Elasticsearch
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
