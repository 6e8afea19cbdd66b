"""The processes: proxies over one store, the Elasticsearch under it, and killing them."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from enum import StrEnum
from pathlib import Path
from typing import Final

from proxy.modelserver.packages import cache_folder
from testbed.elasticsearch import RunningElasticsearch, start
from testbed.processes import TAIL, Process, Server, children_of, is_running
from tests.support.processes import Serve
from tests.support.stubs import Call, FaultyServer, Reply
from tests.torture.callers import answer_as_provider

FRESHNESS: Final = 0.3  # seconds
WORKERS: Final = 2
_READY: Final = 300.0  # seconds for all workers to be there again
_DEATH: Final = 30.0  # seconds for a process to end after SIGKILL


class Store(StrEnum):
    SQLITE = "sqlite"
    ELASTICSEARCH = "elasticsearch"


class Victim(StrEnum):
    WORKER = "worker"
    WORKERS = "all workers of a proxy"
    PARENT = "parent of the workers"
    PROXY = "proxy with its workers"
    ELASTICSEARCH = "elasticsearch"


class Stage:
    """Proxies with two workers each: one over SQLite, or two over an Elasticsearch.

    `registry` gets every process, for reports of failures.
    """

    def __init__(
        self,
        store: Store,
        registry: list[Process] | None = None,
        *,
        answer: Callable[[Call], Reply] = answer_as_provider,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """`answer` is the provider's; `env` has further settings of the proxies."""
        self.store = store
        self._answer = answer
        self._env = dict(env or {})
        self.kills: Counter[Victim] = Counter()
        self.crashes: list[float] = []  # of Elasticsearch: when it was certainly dead
        self.faults: list[str] = []  # proxies that ended without being killed
        self.provider = ""
        self._registry = [] if registry is None else registry
        self._stack = AsyncExitStack()
        self._folder = Path()
        self._generation = 0
        self._all_running = asyncio.Event()
        self._proxies: list[Server] = []
        self._killed: set[int] = set()  # the process ids of proxies
        self._elasticsearch: RunningElasticsearch | None = None

    @property
    def urls(self) -> list[str]:
        return [proxy.url for proxy in self._proxies]

    @property
    def upstream(self) -> str:
        """The Elasticsearch itself."""
        assert self._elasticsearch is not None
        return self._elasticsearch.url

    async def __aenter__(self) -> Stage:
        async with AsyncExitStack() as stack:
            parent = cache_folder()  # within reach of the user that Elasticsearch runs as
            self._folder = Path(tempfile.mkdtemp(prefix="torture-", dir=parent))
            stack.callback(shutil.rmtree, self._folder, ignore_errors=True)
            self._folder.chmod(0o755)
            if self.store is Store.ELASTICSEARCH:
                self._elasticsearch = await asyncio.to_thread(self._start_elasticsearch, 0)
                stack.callback(self._stop_elasticsearch)
            provider = await stack.enter_async_context(FaultyServer(self._answer))
            self.provider = provider.url
            self._serve = stack.enter_context(Serve(self._folder, self._registry))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, _: object, error: BaseException | None, *__: object) -> None:
        if error is not None:
            for proxy in self._proxies:
                error.add_note(f"the end of what [{proxy.url}] wrote:\n{_tail(proxy)}")
        await self._stack.aclose()

    async def begin_anew(self) -> None:
        """Start proxies with an empty store."""
        self._generation += 1
        for proxy in self._proxies:
            await asyncio.to_thread(proxy.stop)
        count = 1 if self.store is Store.SQLITE else 2
        self._proxies = [await self._start_proxy(0) for _ in range(count)]

    async def kill(self, victim: Victim, rng: random.Random, delay: float) -> None:
        """Send SIGKILL to a random process of that kind after `delay` seconds."""
        proxy = rng.choice(self._proxies)
        workers = workers_of(proxy)
        pids: dict[Victim, list[int]] = {
            Victim.WORKER: rng.sample(workers, min(1, len(workers))),
            Victim.WORKERS: workers,
            Victim.PARENT: [proxy.pid],
            Victim.PROXY: [proxy.pid, *workers],
            Victim.ELASTICSEARCH: [],
        }
        if victim in (Victim.PARENT, Victim.PROXY):
            self._killed.add(proxy.pid)
        killed = await asyncio.to_thread(_kill, pids[victim], delay)
        if victim is Victim.ELASTICSEARCH:
            assert self._elasticsearch is not None
            await asyncio.to_thread(self._elasticsearch.kill)
            self.crashes.append(time.monotonic())
            killed = 1
        if killed:
            self.kills[victim] += 1

    async def supervise(self, stop: asyncio.Event) -> None:
        """Restart whatever has ended, with its port and data, until `stop` is set."""
        while not stop.is_set():
            if not self._has_upstream:
                assert self._elasticsearch is not None
                port = self._elasticsearch.port
                await asyncio.to_thread(self._elasticsearch.stop)
                self._elasticsearch = await asyncio.to_thread(self._start_elasticsearch, port)
            for n, proxy in enumerate(self._proxies):
                if not is_running(proxy.pid):
                    if proxy.pid not in self._killed:
                        self.faults.append(f"a proxy ended by itself:\n{_tail(proxy)}")
                    self._proxies[n] = await self._start_proxy(proxy.port)
            workers = [len(workers_of(proxy)) for proxy in self._proxies]
            if self._has_upstream and set(workers) == {WORKERS}:
                self._all_running.set()
            await asyncio.sleep(0.05)

    @property
    def _has_upstream(self) -> bool:
        """Whether Elasticsearch runs, if the store needs one."""
        return self._elasticsearch is None or is_running(self._elasticsearch.pid)

    async def all_running(self) -> None:
        """Wait until the supervisor sees that all processes are back. Raises: TimeoutError."""
        self._all_running.clear()
        async with asyncio.timeout(_READY):
            await self._all_running.wait()

    async def _start_proxy(self, port: int) -> Server:
        kind, upstream = f"sqlite:{self._folder}/state/{self._generation}.db", None
        if self._elasticsearch is not None:
            kind, upstream = "elasticsearch", self._elasticsearch.url
        env = {
            **self._env,
            "HFPROXY_STORE_FRESHNESS": str(FRESHNESS),
            "HFPROXY_STORE_INDEX": f"hugging-face-inference-endpoints-{self._generation}",
        }
        return await asyncio.to_thread(
            self._serve,
            *("--workers", str(WORKERS), "--store", kind),
            upstream=upstream,
            listen=f"127.0.0.1:{port}",
            env=env,
        )

    def _start_elasticsearch(self, port: int) -> RunningElasticsearch:
        data = self._folder / "data"
        return start(port=port, data=data, processors=True, say=lambda _: None)

    def _stop_elasticsearch(self) -> None:
        assert self._elasticsearch is not None
        self._elasticsearch.stop()


def _kill(pids: Sequence[int], delay: float) -> int:
    """Kill them after a delay, and wait for their end; how many were hit.

    In a thread, as the event loop may be late.
    """
    time.sleep(delay)
    killed = []
    for pid in filter(is_running, pids):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)
    deadline = time.monotonic() + _DEATH
    while any(map(is_running, killed)):
        assert time.monotonic() < deadline, f"{killed} outlive SIGKILL"
        time.sleep(0.001)
    return len(killed)


def _tail(proxy: Server) -> str:
    """The last lines that it wrote."""
    return "\n".join(proxy.output.splitlines()[-TAIL:])


def workers_of(proxy: Server) -> list[int]:
    """The process ids of the workers that run."""
    try:
        return [pid for pid in children_of(proxy.pid) if is_running(pid)]
    except OSError:  # it has ended
        return []
