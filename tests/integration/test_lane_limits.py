"""The lane's memory, files and processor time under load stay within bounds."""

from __future__ import annotations

import os
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

import pytest

from testbed.processes import Server, proxy_command
from tests.support.processes import Serve, clean_environ

KIB: Final = 1024
MIB: Final = 1024 * KIB
BLOCK: Final = b"x" * (256 * KIB)
GET: Final = b"GET /x HTTP/1.1\r\nHost: es\r\n\r\n"
OK: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
TICK: Final = os.sysconf("SC_CLK_TCK")


class Upstream:
    """An upstream with a thread for each connection.

    `GET /<bytes>` is answered with as many bytes, chunked; a request with a body, with its size.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.pause = 0.0  # seconds before each read
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Upstream:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(ConnectionError):  # the caller may have hung up
            data = b""
            while piece := connection.recv(MIB):
                data += piece
                head, end, rest = data.partition(b"\r\n\r\n")
                if not end:
                    continue
                size = head.split(b" ")[1][1:]
                if b"chunked" in head:
                    count = self._count(connection, rest)
                    connection.sendall(
                        b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%d"
                        % (len(str(count)), count)
                    )
                elif size.isdigit():
                    _give(connection, int(size))
                else:
                    connection.sendall(OK)
                data = b""

    def _count(self, connection: socket.socket, data: bytes) -> int:
        """The size of a chunked body of x's, as far as it comes."""
        count, end = 0, b""
        while True:
            count += data.count(b"x")
            end = (end + data)[-5:]
            if end == b"0\r\n\r\n":
                return count
            if self.pause:
                time.sleep(self.pause)
            data = connection.recv(MIB)
            if not data:
                return count


def _give(connection: socket.socket, size: int) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    for _ in range(size // len(BLOCK)):
        connection.sendall(b"%x\r\n%b\r\n" % (len(BLOCK), BLOCK))
    connection.sendall(b"0\r\n\r\n")


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def start(
    serve_for_session: Serve, tmp_path_factory: pytest.TempPathFactory, upstream: Upstream
) -> Callable[..., Server]:
    """Starts a proxy with a SQLite store."""

    def start(url: str = upstream.url, files: int | None = None, **env: str) -> Server:
        folder = tmp_path_factory.mktemp("limits")
        flags = ["--upstream", url, "--listen", "127.0.0.1:0", "--store", f"sqlite:{folder}/s.db"]
        arguments = proxy_command("serve", *flags)
        if files is not None:
            arguments = ["sh", "-c", f'ulimit -n {files}; exec "$@"', "sh", *arguments]
        return serve_for_session.start(Server(arguments, clean_environ(folder, env)))

    return start


@pytest.fixture(scope="module")
def proxy(start: Callable[..., Server]) -> Server:
    return start()


def resident(server: Server) -> int:
    """Its resident memory in bytes."""
    status = Path(f"/proc/{server.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * KIB


def cpu(server: Server) -> float:
    """Its processor time in seconds."""
    fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def connect(server: Server, timeout: float = 20) -> socket.socket:
    return socket.create_connection((server.host, server.port), timeout)


def exchange(connection: socket.socket, request: bytes = GET, answer: bytes = OK) -> None:
    connection.sendall(request)
    received = b""
    while len(received) < len(answer):
        piece = connection.recv(65536)
        assert piece, "closed"
        received += piece
    assert received == answer


class Watch:
    """Records the largest memory of a process during a block."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._stop = threading.Event()
        self.before = self.most = resident(server)
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(0.05):
            self.most = max(self.most, resident(self._server))

    @property
    def growth(self) -> int:
        return self.most - self.before


def upload(connection: socket.socket, size: int) -> int:
    """Send a chunked body of `size` bytes; the size that the upstream has counted."""
    connection.sendall(
        b"POST /_bulk HTTP/1.1\r\nHost: es\r\nTransfer-Encoding: chunked\r\n"
        b"Content-Type: application/x-ndjson\r\nConnection: close\r\n\r\n"
    )
    for _ in range(size // len(BLOCK)):
        connection.sendall(b"%x\r\n%b\r\n" % (len(BLOCK), BLOCK))
    connection.sendall(b"0\r\n\r\n")
    return int(b"".join(iter(lambda: connection.recv(65536), b"")).rpartition(b"\r\n")[2])


def download(connection: socket.socket, size: int, pause: float = 0) -> int:
    """Ask for `size` bytes; how many arrive."""
    connection.sendall(b"GET /%d HTTP/1.1\r\nHost: es\r\nConnection: close\r\n\r\n" % size)
    count = 0
    while data := connection.recv(MIB):
        count += data.count(b"x")
        if pause:
            time.sleep(pause)
    return count


def test_what_streams_through_takes_no_memory(proxy, upstream):
    """An upload to a slow upstream, and a download to a slow caller."""
    with connect(proxy) as connection:
        exchange(connection)
    with Watch(proxy) as watch, connect(proxy) as up, connect(proxy) as down:
        upstream.pause = 0.01
        threading.Timer(1, lambda: setattr(upstream, "pause", 0)).start()
        assert upload(up, 256 * MIB) == 256 * MIB
        assert download(down, 256 * MIB, pause=0.0005) == 256 * MIB
    assert watch.growth < 16 * MIB


def test_idle_connections_take_little_memory(proxy):
    """With 1,000 connections, all of them used before."""
    count = 1000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4 * count)), hard))
    with ExitStack() as stack:
        for _ in range(50):
            exchange(stack.enter_context(connect(proxy)))
        before = resident(proxy)
        for _ in range(count):
            exchange(stack.enter_context(connect(proxy)))
        each = (resident(proxy) - before) / count
    assert each < 20 * KIB


def test_without_files_left_nothing_spins(start):
    proxy = start(files=64)
    with ExitStack() as stack:
        first = stack.enter_context(connect(proxy))
        exchange(first)
        for _ in range(100):
            stack.enter_context(connect(proxy))
        time.sleep(0.3)
        used = cpu(proxy)
        time.sleep(1)
        assert cpu(proxy) - used < 0.3
        exchange(first)  # who was connected before is still served
    deadline = time.monotonic() + 10
    while True:
        try:
            with connect(proxy) as connection:
                exchange(connection)
            return
        except (OSError, AssertionError):  # not yet
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.mark.parametrize("lane", ["true", "false"])
@pytest.mark.parametrize(
    "drip",
    [
        b"X: y\r\n",
        b"\r\n",
    ],
    ids=["a head", "empty lines"],
)
def test_a_head_that_does_not_end_is_given_up(start, drip, lane):
    times = {"HFPROXY_LIMITS_HEAD_TIMEOUT": "1", "HFPROXY_LIMITS_KEEPALIVE_TIMEOUT": "1"}
    proxy = start(**times, HFPROXY_LANE=lane)
    with connect(proxy, timeout=0.2) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n" if drip.strip() else b"")
        for _ in range(20):
            try:
                connection.sendall(drip)
                answer = connection.recv(65536)
            except TimeoutError:
                continue
            except ConnectionError:  # it was closed just before this was sent
                return
            assert answer.startswith(b"HTTP/1.1 408 ") or not answer
            return
    raise AssertionError("it is still waited for")


def test_refusals_that_nobody_reads_are_not_piled_up(start):
    """Pipelined requests for an upstream that is down, each answered 503."""
    with socket.create_server(("127.0.0.1", 0)) as down:
        port = down.getsockname()[1]
    proxy = start(f"http://127.0.0.1:{port}")
    with connect(proxy, timeout=1) as connection, Watch(proxy) as watch:
        end = time.monotonic() + 4
        pipeline = memoryview(GET * 10_000)
        try:
            while time.monotonic() < end:
                pipeline = pipeline[connection.send(pipeline) :] or memoryview(GET * 10_000)
        except TimeoutError:
            pass  # nothing more is taken
    assert watch.growth < 16 * MIB


@pytest.mark.parametrize("lane", ["true", "false"])
def test_connections_are_limited(start, lane):
    proxy = start(HFPROXY_LIMITS_CONNECTIONS="2", HFPROXY_LANE=lane)
    with connect(proxy) as first, connect(proxy), connect(proxy) as third:
        assert third.recv(65536).startswith(b"HTTP/1.1 429 ")
        first.sendall(GET)
        assert first.recv(65536).startswith(b"HTTP/1.1 200 ")


class Pouring:
    """Sixteen callers who send as much as they can, anew when they are refused."""

    def __init__(self, server: Server, start: bytes, data: bytes) -> None:
        self._server, self._start, self._data = server, start, data
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._pour) for _ in range(16)]

    def __enter__(self) -> Pouring:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _pour(self) -> None:
        while not self._stop.is_set():
            with suppress(OSError), connect(self._server, timeout=0.5) as connection:
                connection.sendall(self._start)
                while not self._stop.is_set():
                    with suppress(TimeoutError):
                        connection.send(self._data)


UPLOAD: Final = b"POST /x HTTP/1.1\r\nHost: es\r\nTransfer-Encoding: chunked\r\n\r\n"
FLOODS: Final = {
    "chunks of one byte": (UPLOAD, b"1\r\nx\r\n" * 20_000),
    "trailers": (UPLOAD + b"0\r\n", b"x: y\r\n" * 20_000),
    "blank lines": (b"", b"\r\n" * 60_000),
    "headers": (b"GET / HTTP/1.1\r\nHost: es\r\n", b"a:\r\n" * 30_000),
}


@pytest.mark.parametrize("lane", ["true", "false"])
@pytest.mark.parametrize("flood", FLOODS)
def test_others_are_served_whatever_sixteen_callers_send(start, flood, lane):
    proxy = start(HFPROXY_LANE=lane)
    with Watch(proxy) as watch, Pouring(proxy, *FLOODS[flood]), connect(proxy) as other:
        time.sleep(0.5)
        other.settimeout(5)
        for _ in range(20):
            exchange_any(other)
    assert watch.growth < 64 * MIB


def exchange_any(connection: socket.socket) -> None:
    """As `exchange`, but for headers that aiohttp writes in its own way."""
    connection.sendall(GET)
    received = b""
    while not received.endswith(b"ok"):
        piece = connection.recv(65536)
        assert piece, "closed"
        received += piece
