"""A process stays within its memory whatever callers and providers send concurrently."""

from __future__ import annotations

import gzip
import re
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import orjson
import pytest

from tests.support.rawhttp import send
from tests.support.stubs import FaultyServer, contract_reply, in_thread, json_reply

MIB = 1 << 20
JSON = [("Content-Type", "application/json")]
ALLOWED = 64  # MiB for bodies and replies: `limits.memory`
MOST = 180  # MiB in total, with interpreter, code, buffers and what is being read

TEXT = b'{"input":"' + b"x" * (18 * MIB) + b'"}'
BODIES = {
    "one long text": (TEXT, []),
    "the same zipped": (gzip.compress(TEXT, 1), [("Content-Encoding", "gzip")]),
    "a bomb": (gzip.compress(b" " * (300 * MIB), 9), [("Content-Encoding", "gzip")]),
    "many values": (b'{"input":[' + b"[]," * (6 * MIB) + b"1]}", []),
    "deep": (b'{"task_settings":' + b'{"a":' * MIB, []),
    "many inputs": (b'{"input":[' + b'"a",' * 99_000 + b'"b"]}', []),
    "CBOR of many values": (b"\x9a\x01\x00\x00\x00" + b"\x80" * (16 * MIB), "application/cbor"),
    "YAML of many values": (b"[[]," * 60_000, "application/yaml"),
}


def peak_of(pid):
    """The peak memory of a process in MiB."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) // 1024


def answer_of(call):
    if call.path == "/large":
        vector = [0.123456789] * 30_000
        return json_reply([vector for _ in call.json["inputs"]])
    return contract_reply(call)


@pytest.fixture(scope="module")
def stub():
    with in_thread(FaultyServer(answer_of)) as server:
        yield server


@pytest.fixture
def proxy(serve, stub, tmp_path):
    env = {
        "HFPROXY_LIMITS_MEMORY": str(ALLOWED * MIB),
        "HFPROXY_LIMITS_INFERENCE_BODY": str(20 * MIB),
    }
    proxy = serve("--store", f"sqlite:{tmp_path / 'db' / 'endpoints.db'}", env=env)
    settings = {"api_key": "secret", "rate_limit": {"requests_per_minute": 1_000_000}}
    for name, path in (("small", "/embed"), ("large", "/large")):
        body = {"service": "hugging_face", "service_settings": {**settings, "url": stub.url + path}}
        target = f"/_inference/text_embedding/{name}"
        assert send(proxy.url, "PUT", target, JSON, orjson.dumps(body)).status == 200
    return proxy


def infer(proxy, name, body, extra=()):
    headers = [("Content-Type", extra)] if isinstance(extra, str) else [*JSON, *extra]
    return send(proxy.url, "POST", f"/_inference/text_embedding/{name}", headers, body).status


def test_bodies_of_every_bad_kind_at_once(proxy):
    with ThreadPoolExecutor(16) as pool:
        running = [
            (kind, pool.submit(infer, proxy, "small", *BODIES[kind])) for kind in [*BODIES] * 3
        ]
        statuses = Counter(future.result() for _, future in running)
    assert set(statuses) <= {200, 400, 413, 429}
    assert statuses[429]
    assert peak_of(proxy.pid) < MOST
    assert infer(proxy, "small", b'{"input":"x"}') == 200


def test_bodies_of_every_bad_kind_alone(proxy):
    """As nothing else is held meanwhile, each may take all that there is."""
    peaks = {}
    for kind, (body, extra) in BODIES.items():
        assert infer(proxy, "small", body, extra) in (200, 400, 413, 429), kind
        peaks[kind] = peak_of(proxy.pid)
    assert max(peaks.values()) < MOST, peaks


@pytest.mark.parametrize("character", ["\N{GRINNING FACE}", "\\ud83d\\ude00", "\N{EURO SIGN}"])
def test_one_wide_character_makes_a_text_wide(proxy, character):
    body = TEXT[:-2] + character.encode() + b'"}'
    with ThreadPoolExecutor(4) as pool:
        statuses = set(pool.map(lambda _: infer(proxy, "small", body), range(8)))
    assert statuses <= {200, 429}
    assert peak_of(proxy.pid) < MOST
    assert infer(proxy, "small", b'{"input":"x"}') == 200


def test_large_answers_that_nobody_reads(proxy):
    body = orjson.dumps({"input": ["x"] * 30})
    head = "POST /_inference/text_embedding/large HTTP/1.1\r\nHost: x\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with ExitStack() as stack:
        callers = []
        for _ in range(24):
            caller = stack.enter_context(socket.create_connection((proxy.host, proxy.port)))
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            caller.sendall(head.encode() + body)
            callers.append(caller)
        firsts = Counter(caller.recv(12) for caller in callers)  # so that each answer has begun
        assert set(firsts) == {b"HTTP/1.1 200", b"HTTP/1.1 429"}
        assert peak_of(proxy.pid) < MOST
    assert infer(proxy, "small", b'{"input":"x"}') == 200
