"""A full run of a real proxy, and a search through all that it has produced for its secrets."""

from __future__ import annotations

import base64
import gzip
import os
import re
import secrets
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote
from urllib.request import urlopen
from uuid import uuid4

import cbor2
import orjson
import pytest

from testbed.processes import Server, children_of, free_ports, proxy_command
from tests.support.processes import clean_environ
from tests.support.rawhttp import send
from tests.support.security import wait_until_settled
from tests.support.stubs import (
    Call,
    FaultyServer,
    Reply,
    contract_reply,
    event_reply,
    in_thread,
    json_reply,
)
from tests.support.traces import files_below, found_in, of_process
from tests.support.users import USERS, basic, store_credentials

OLD: Final = "hf_S3cret+t0ken/with~odd=chars"
NEW: Final = "hf_An0ther+0ne/of~them="
MISPLACED: Final = "hf_Th1rd0neThatStandsInWr0ngPlaces"
KEY: Final = secrets.token_bytes(32)
PAIR: Final = base64.b64encode(b"VuaCfGcBCdbkQm-e5aOx:marked-api-key-0f").decode()
CALLERS: Final = {
    "Authorization": f"ApiKey {PAIR}",
    "Es-Secondary-Authorization": "Bearer marked-secondary-token-1a2b",
}
SECRETS: Final[Mapping[str, str | bytes]] = {
    "the token": OLD,
    "the new token": NEW,
    "the misplaced token": MISPLACED,
    "the encryption key": KEY,
    "the proxy's password": USERS["proxy"][0],
    "a caller's password": USERS["admin"][0],
    "a caller's header": basic("admin").removeprefix("Basic "),
    "a caller's API key": "marked-api-key-0f",
    "a caller's encoded API key": PAIR,
    "a caller's other token": "marked-secondary-token-1a2b",
}
TASKS: Final = {
    "text_embedding": "/embed",
    "sparse_embedding": "/sparse",
    "rerank": "/rerank",
    "completion": "/v1/chat/completions",
    "chat_completion": "/v1/chat/completions",
}
INPUTS: Final = {
    "rerank": b'{"query":"q","input":["a","b"]}',
    "chat_completion": b'{"messages":[{"role":"user","content":"x"}]}',
}
JSON: Final = {"Content-Type": "application/json"}
PATIENCE: Final = {
    "HFPROXY_PROVIDER_RETRY_INITIAL_DELAY": "0.001",
    "HFPROXY_PROVIDER_RETRY_MAX_DELAY": "0.002",
}


class Run:
    """Sends requests to a proxy, and keeps every byte of every answer."""

    def __init__(self, proxy: Server, authorization: str | None) -> None:
        self.proxy = proxy
        self.answers: dict[str, bytes] = {}
        self._own = {} if authorization is None else {"Authorization": authorization}

    def __call__(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        headers: Mapping[str, str] = JSON,
        **others: str,
    ) -> int:
        """The status of one request's answer."""
        given = {"Host": "x", "Connection": "close", **self._own, **headers, **others}
        fields = {name.replace("_", "-").title(): text for name, text in given.items()}
        fields["Content-Length"] = str(len(body))
        head = "".join(f"{name}: {text}\r\n" for name, text in fields.items())
        answer = self.raw(f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + body)
        return int(answer.split(b" ", 2)[1])

    def raw(self, data: bytes) -> bytes:
        """All that is answered to some bytes."""
        answer = b""
        with socket.create_connection((self.proxy.host, self.proxy.port), timeout=30) as caller:
            caller.sendall(data)
            while piece := caller.recv(65536):
                answer += piece
        # Not what was sent: it holds secrets, and names the answer in a failure.
        self.answers[f"answer {len(self.answers)}, to {data[:60]!r}"] = answer
        return answer


def configuration(url: str, **settings: Any) -> bytes:
    service_settings = {"api_key": OLD, "url": url, "rate_limit": LIMIT, **settings}
    return orjson.dumps({"service": "hugging_face", "service_settings": service_settings})


LIMIT: Final = {"requests_per_minute": 1_000_000}


# What callers do


def uses(run: Run, url: str) -> None:
    """Everything that succeeds."""
    for task, path in TASKS.items():
        assert run("PUT", f"/_inference/{task}/{task}?human", configuration(url + path)) == 200
        target = f"/_inference/{task}/{task}"
        stream = "/_stream" if task == "chat_completion" else ""
        assert run("POST", target + stream, INPUTS.get(task, b'{"input":"x"}')) == 200
        for media in ("application/yaml", "application/cbor", "text/event-stream"):
            run("GET", target, Accept=media)
        changed = orjson.dumps({"service_settings": {"api_key": NEW}})
        assert run("PUT", f"{target}/_update", changed) == 200
        assert run("PUT", f"{target}/_update", changed.replace(NEW.encode(), OLD.encode())) == 200
    assert run("POST", "/_inference/completion/completion/_stream", b'{"input":"x"}') == 200
    for target in ("/_inference", "/_inference/_all?pretty", "/_inference/_services"):
        assert run("GET", target) == 200
    assert run("GET", "/_cluster/health") == 200
    assert run("PUT", "/_inference/rerank/gone", configuration(url + "/rerank")) == 200
    assert run("DELETE", "/_inference/gone") == 200


def mistakes(run: Run, url: str) -> None:
    """Configurations that are none."""
    good = configuration(url + "/embed").decode()
    updates = good.replace('"service":"hugging_face",', "")
    for number, (put, update) in enumerate(zip(damaged(good), damaged(updates), strict=True)):
        for suffix in ("", "?error_trace&pretty"):
            run("PUT", f"/_inference/text_embedding/m{number}{suffix}", put.encode())
        run("POST", "/_inference/text_embedding/text_embedding", put.encode())
        run("PUT", "/_inference/text_embedding/text_embedding/_update", update.encode())
        run(
            "PUT",
            f"/_inference/rerank/m{number}",
            gzip.compress(put.encode()),
            content_encoding="gzip",
        )
        run("PUT", f"/_inference/rerank/m{number}", put.encode("utf-16"))
    for settings in MISPLACINGS:
        body = orjson.loads(configuration(url + "/embed"))
        body["service_settings"] |= settings
        for task in ("text_embedding", "rerank", "chat_completion", MISPLACED):
            run("PUT", f"/_inference/{task}/wrong", orjson.dumps(body))
            run("PUT", f"/_inference/{task}/wrong", orjson.dumps({**body, **settings}))
            run(
                "PUT",
                f"/_inference/{task}/wrong",
                cbor2.dumps(body),
                content_type="application/cbor",
            )
        run("PUT", "/_inference/rerank/rerank/_update", orjson.dumps({**body, **settings}))
        run("POST", "/_inference/rerank/rerank", orjson.dumps({**body, **settings}))
    for text in YAML:
        for token in (OLD, MISPLACED):  # the second one can be a name in YAML, too
            body = text.replace("TOKEN", token).encode()
            run("PUT", "/_inference/rerank/wrong", body, content_type="application/yaml")
            run("PUT", "/_inference/rerank/rerank/_update", body, content_type="application/yaml")
    packed = cbor2.dumps(orjson.loads(good))
    for body in (packed[:-5], packed.replace(b"api_key", b"\xff\xfe\xfd____"), b"\xbf" + packed):
        run("PUT", "/_inference/rerank/wrong", body, content_type="application/cbor")
    run("PUT", "/_inference/rerank/wrong", good.encode(), content_type="text/plain")
    run("PUT", "/_inference/rerank/wrong", good.encode(), content_encoding="gzip")
    run("PUT", "/_inference/rerank/wrong?nonsense=1", good.encode())


def damaged(good: str) -> Iterator[str]:
    quoted = f'"{OLD}"'
    yield good[:-1]
    yield good[:-1] + ",}"
    yield good.replace('"api_key":', '"api_key"')
    yield good.replace('"api_key":', "api_key:")
    yield good.replace('"api_key":', "'api_key':")
    yield good.replace('"api_key":', '"\\u0061pi_key"')
    yield good.replace('"api_key":', f'"api_key":{quoted},"api_key":')
    yield good.replace('"api_key":', f"{quoted}:1,{quoted}:")
    yield good.replace('"api_key":', f'"a":/*{OLD}')
    for wrong in (
        OLD,
        MISPLACED,
        f"'{OLD}'",
        f"[{quoted}]",
        f'{{"x":{quoted}}}',
        f'"{OLD}',
        f'"{OLD}\\x"',
    ):
        yield good.replace(quoted, wrong)
    for wrong in ('\\u0000"', '\n"', '\\u00e9"', '\\ud800"', '\xff"'):
        yield good.replace(quoted, quoted[:-1] + wrong)
    yield good.replace("http://", "htp://")
    yield good.replace("http://", f"http://me:{OLD}@")
    yield good.replace('"rate_limit":', f'"rate":"{OLD}","rate_limit":')
    yield "[" * 300 + good
    yield good.replace('"service":', '"servlet":')
    yield OLD
    yield quoted


MISPLACINGS: Final[list[dict[str, Any]]] = [
    {"url": MISPLACED},
    {"similarity": MISPLACED, "dimensions": MISPLACED, "max_input_tokens": [MISPLACED]},
    {"similarity": {"x": MISPLACED}},
    {"apikey": MISPLACED},
    {"token": {"is": [MISPLACED]}},
    {"rate_limit": {"requests_per_minute": MISPLACED}},
    {"rate_limit": {MISPLACED: 1}},
    {"rate_limit": MISPLACED},
    {MISPLACED: MISPLACED},
    {"task_settings": {"return_documents": MISPLACED, "top_n": MISPLACED}},
    {"task_settings": {"api_key": MISPLACED}},
    {"task_settings": MISPLACED},
    {"chunking_settings": {"strategy": MISPLACED}},
    {"chunking_settings": {"strategy": "word", "max_chunk_size": MISPLACED, MISPLACED: 1}},
    {"chunking_settings": {"strategy": "recursive", "separators": [{"x": MISPLACED}]}},
    {"chunking_settings": [MISPLACED]},
    {"task_type": MISPLACED},
    {"task_type": [MISPLACED]},
    {"service_settings": MISPLACED},
    {"service": [MISPLACED]},
    {"service": MISPLACED},
]
YAML: Final = [
    "service_settings: {api_key: *TOKEN}",
    "service_settings: {api_key: &TOKEN x, url: *TOKEN , x: *y}",
    "service_settings: {api_key: !TOKEN!x y}",
    "service_settings: {api_key: !!TOKEN y}",
    "%TAG !TOKEN! x\n%TAG !TOKEN! x\n---\napi_key: x",
    "api_key: 'TOKEN",
    'api_key: "TOKEN\\q"',
    "api_key: {TOKEN",
    "api_key: @TOKEN",
    "api_key: TOKEN: x",
    "TOKEN: 1\nTOKEN: 2",
    "service: hugging_face\nservice_settings:\n  api_key: TOKEN\n url: x",
]


def failures(run: Run, provider: FaultyServer) -> None:
    """Providers that say again what they were told, in whatever way."""
    for spell in (plain, encoded):
        for misbehave in misbehaviours(spell):
            provider.answer = misbehave
            for task in TASKS:
                stream = "/_stream" if "completion" in task else ""
                target = f"/_inference/{task}/{task}{stream}?timeout=1s&error_trace"
                run("POST", target, INPUTS.get(task, b'{"input":"x"}'))
            run("PUT", "/_inference/rerank/failing?timeout=1s", configuration(f"{provider.url}/x"))
    provider.answer = lambda call: Reply(fault="hang")
    run("POST", "/_inference/rerank/rerank?timeout=50ms", INPUTS["rerank"])
    run("PUT", "/_inference/rerank/slow?timeout=50ms", configuration(provider.url))
    provider.answer = contract_reply


def refused(spell: Callable[[Call], str], status: int, call: Call) -> Reply:
    said = spell(call)
    headers = {"Location": f"http://x/{quote(said)}", "X-Said": said}
    return json_reply({"error": said, "message": said}, status, headers=headers, reason=said)


def refused_in_a_chat(spell: Callable[[Call], str], status: int, call: Call) -> Reply:
    return json_reply({"error": {"message": spell(call)}}, status)


def refused_in_a_text(spell: Callable[[Call], str], status: int, call: Call) -> Reply:
    return Reply(status=status, body=spell(call).encode())


def plain(call: Call) -> str:
    return call.headers["Authorization"]


def encoded(call: Call) -> str:
    """The header in every encoding, and the token alone in some."""
    header = call.headers["Authorization"]
    token = header.removeprefix("Bearer ")
    copies = [quote(token, safe=""), quote(quote(header, safe="")), header.encode().hex().upper()]
    copies += ["".join(f"\\u{ord(char):04x}" for char in token), token.encode().hex(":")]
    copies += [base64.b64encode(b"x" * lead + header.encode()).decode() for lead in range(3)]
    copies += [base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")]
    return " ".join(copies)


def misbehaviours(spell: Callable[[Call], str]) -> Iterator[Callable[[Call], Reply]]:
    for status in (301, 400, 401, 404, 413, 422, 429, 500, 503):
        yield partial(refused, spell, status)
        yield partial(refused_in_a_chat, spell, status)
        yield partial(refused_in_a_text, spell, status)
    yield lambda call: Reply(body=f"{{{spell(call)}".encode())
    yield lambda call: Reply(body=spell(call).replace(" ", "").encode())
    yield lambda call: json_reply({spell(call): [1]})
    yield lambda call: json_reply([[spell(call)]])
    yield lambda call: json_reply([{"index": spell(call), "score": spell(call)}])
    yield lambda call: Reply(body=f'[{{"{plain(call)}":1,"{plain(call)}":2}}]'.encode())
    yield lambda call: event_reply(f"data: {spell(call)}\n\n")
    yield lambda call: event_reply(f"event: error\ndata: {spell(call)}\n\n")
    yield lambda call: event_reply(f'data: {{"error":{{"message":"{quote(spell(call))}"}}}}\n\n')
    yield lambda call: event_reply(f'data: {{"choices":{{"{quote(spell(call))}":1}}}}\n\n')
    yield lambda call: event_reply(f"data: {spell(call)}", fault="reset_after")
    yield lambda call: Reply(fault="reset")


def refusals(run: Run, url: str, elasticsearch: str) -> None:
    """What the rules forbid, and callers who may not do what they ask for."""
    for denied in (
        "http://169.254.169.254/",
        elasticsearch,
        run.proxy.url,
        "http://nowhere.invalid",
    ):
        run("PUT", "/_inference/rerank/denied", configuration(denied))
    once = configuration(url + "/rerank", rate_limit={"requests_per_minute": 1})
    run("PUT", "/_inference/rerank/once", once)
    for _ in range(2):
        run("POST", "/_inference/rerank/once?timeout=20ms", INPUTS["rerank"])
    for headers in (
        CALLERS,
        {"Authorization": "Bearer marked-secondary-token-1a2b"},
        {"Authorization": "marked-secondary-token-1a2b"},
        {"Authorization": basic("nobody")},
        {"Es-Secondary-Authorization": CALLERS["Es-Secondary-Authorization"]},
        {"es-security-runas-user": "nobody"},
    ):
        for method, target in (
            ("GET", "/_inference/_all"),
            ("PUT", "/_inference/rerank/other"),
            ("POST", "/_inference/rerank/rerank"),
            ("POST", "/_inference/completion/completion/_stream"),
            ("GET", "/_cluster/health"),
            ("GET", "/_inference/nothing/of/the/kind"),
        ):
            body = configuration(url + "/rerank") if method == "PUT" else b""
            run(method, target, body, {**JSON, **headers})


def nonsense(run: Run) -> None:
    """What is no HTTP."""
    line = b"Authorization: Bearer " + OLD.encode()
    start = b"PUT /_inference/rerank/e1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    for data in (
        start + line.replace(b":", b""),
        start + line + b"\x00",
        start + line + b"\r\nContent-Length: " + OLD.encode(),
        start + line + b"\r\nTransfer-Encoding: " + OLD.encode(),
        start + line + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + OLD.encode(),
        start + line + b"\r\nExpect: " + OLD.encode(),
        start + line + b"\r\nContent-Type: " + OLD.encode() + b"\r\nContent-Length: 1\r\n\r\n{",
        b"PUT /_inference/x " + OLD.encode() + b"\r\n" + line,
        OLD.encode() + b" / HTTP/1.1\r\nConnection: close",
        b"\x16\x03\x01" + OLD.encode(),
        line,
    ):
        run.raw(data + b"\r\n\r\n")


# The search


@pytest.mark.parametrize("store", ["sqlite", "elasticsearch"])
@pytest.mark.parametrize("flags", [("--workers", "2"), ("--no-lane",)], ids=["lane", "no lane"])
def test_nothing_tells_a_secret(serve, secured_elasticsearch, tmp_path, flags, store):
    wait_until_settled(secured_elasticsearch.url)
    index = f"hugging-face-inference-endpoints-{uuid4().hex[:8]}"
    kind = f"sqlite:{tmp_path / 'store' / 'endpoints.db'}" if store == "sqlite" else store
    env = PATIENCE | store_credentials()
    env |= {"HFPROXY_STORE_ENCRYPTION_KEY": KEY.hex(), "HFPROXY_STORE_INDEX": index}
    env |= {
        "HFPROXY_LOG_LEVEL": "debug",
        "HFPROXY_LOG_FORMAT": "json" if store == "sqlite" else "text",
    }
    env |= {"PYTHONASYNCIODEBUG": "1", "XDG_STATE_HOME": str(tmp_path / "state")}
    admin = f"127.0.0.1:{free_ports(2)}"
    with ExitStack() as stack:
        provider = stack.enter_context(in_thread(FaultyServer(contract_reply)))
        proxy = serve(
            *flags, "--admin", admin, "--store", kind, upstream=secured_elasticsearch.url, env=env
        )
        run = Run(proxy, basic("admin"))
        uses(run, provider.url)
        mistakes(run, provider.url)
        failures(run, provider)
        refusals(run, provider.url, secured_elasticsearch.url)
        nonsense(run)
        found = run.answers | of_process(proxy)
        for path in ("/metrics", "/readyz", "/livez"):
            found[path] = urlopen(f"http://{admin}{path}", timeout=20).read()
        found |= files_below(tmp_path) | stored(secured_elasticsearch.url, index)
        heard = {f"call {n}": said_to_provider(call) for n, call in enumerate(provider.calls)}
        assert proxy.stop() == 0
        found |= files_below(tmp_path) | of_elasticsearch(secured_elasticsearch)
        found["its output"] = proxy.output.encode()
    assert len(run.answers) > 500
    assert len(heard) > 200
    assert b"hugging_face" in b"".join(run.answers.values())
    assert OLD.encode() in heard["call 0"]  # or nothing was looked for
    assert found_in(found, SECRETS) == []
    assert found_in(heard, {k: v for k, v in SECRETS.items() if "token" not in k}) == []


def said_to_provider(call: Call) -> bytes:
    return repr((call.method, call.target, dict(call.headers))).encode() + call.body


def stored(url: str, index: str) -> dict[str, bytes]:
    """What an administrator sees of the store."""
    headers = [("Authorization", basic("admin"))]
    return {
        target: send(url, "GET", target, headers).content
        for target in (
            f"/{index}*/_search?size=1000&expand_wildcards=all",
            f"/{index}*/_mapping?expand_wildcards=all",
            f"/{index}*/_settings?expand_wildcards=all",
            "/_cluster/state",
        )
    }


def of_elasticsearch(running: Any) -> dict[str, bytes]:
    """What it has on its disk."""
    return files_below(running.data) | {"its log": running.log.read_bytes()}


# Commands, and ends


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Runs a command of the proxy to its end, with a key of its own."""

    def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[bytes]:
        own = {"HFPROXY_STORE_ENCRYPTION_KEY": KEY.hex(), "HFPROXY_LOG_LEVEL": "debug", **env}
        return subprocess.run(
            proxy_command(*arguments),
            env=clean_environ(tmp_path / "state", own),
            capture_output=True,
            timeout=30,
        )

    return run


def written_by(done: subprocess.CompletedProcess[bytes]) -> dict[str, bytes]:
    return {"its output": done.stdout + done.stderr}


PASSWORD: Final = "a-marked-passw0rd"


@pytest.mark.parametrize(
    ("env", "code"),
    [
        ({}, 0),
        ({"HFPROXY_UPSTREAM_PASSWORD": PASSWORD, "HFPROXY_UPSTREAM_API_KEY": PASSWORD}, 0),
        ({"ELASTIC_API_KEY": PASSWORD, "HF_TOKEN": PASSWORD, "ANOTHER": PASSWORD}, 0),
        ({"HFPROXY_EGRESS_PROXY": f"http://me:{PASSWORD}@proxy.test:3128"}, 0),
        ({"HFPROXY_UPSTREAM_URL": f"http://me:{PASSWORD}@127.0.0.1:9200"}, 1),
        ({"HFPROXY_STORE_PREVIOUS_KEY": PASSWORD}, 0),
        ({"HFPROXY_WORKERS": PASSWORD}, 1),
        ({"HFPROXY_UPSTREAM_PASSWORD": PASSWORD, "HFPROXY_UPSTREAM_PASWORD": PASSWORD}, 1),
    ],
)
def test_check_tells_none_of_what_the_environment_holds(run, env, code):
    done = run("check", **env)
    assert done.returncode == code
    assert found_in(written_by(done), {"the password": PASSWORD, "the key": KEY}) == []


def test_a_configuration_file_that_is_broken_is_not_quoted(run, tmp_path):
    file = tmp_path / "proxy.yml"
    for text in ("upstream:\n  password: *{}", "upstream: {password: {}", "{}: 1", "- {}", "{}"):
        file.write_text(text.replace("{}", PASSWORD))
        for name in ("check", "serve", "rekey"):
            done = run(name, "--config", str(file))
            assert done.returncode == 1
            assert found_in(written_by(done), {"the password": PASSWORD}) == [], text


def test_no_change_of_keys_tells_one(serve, run, tmp_path):
    new = secrets.token_bytes(32)
    store = f"sqlite:{tmp_path / 'store' / 'endpoints.db'}"
    both = {"HFPROXY_STORE_ENCRYPTION_KEY": new.hex(), "HFPROXY_STORE_PREVIOUS_KEY": KEY.hex()}
    with in_thread(FaultyServer(contract_reply)) as provider:
        proxy = serve("--store", store, env={"HFPROXY_STORE_ENCRYPTION_KEY": KEY.hex()})
        requests = Run(proxy, None)
        target = "/_inference/text_embedding/one"
        assert requests("PUT", target, configuration(provider.url + "/embed")) == 200
        assert proxy.stop() == 0
    wrong = run("serve", "--store", store, HFPROXY_STORE_ENCRYPTION_KEY=new.hex())
    no_key = run("serve", "--store", store, HFPROXY_STORE_ENCRYPTION_KEY=PASSWORD)
    changed = run("rekey", "--store", store, **both)
    assert (wrong.returncode, no_key.returncode, changed.returncode) == (1, 1, 0)
    found = files_below(tmp_path)
    assert any(path.endswith("endpoints.db") for path in found)
    for number, done in enumerate((wrong, no_key, changed)):
        found[f"the output of command {number}"] = done.stdout + done.stderr
    assert found_in(found, {**SECRETS, "the new key": new, "no key": PASSWORD}) == []


def test_a_worker_that_crashes_leaves_no_core(serve, tmp_path):
    store = f"sqlite:{tmp_path / 'endpoints.db'}"
    with in_thread(FaultyServer(contract_reply)) as provider:
        proxy = serve("--store", store, "--workers", "2")
        requests = Run(proxy, None)
        target = "/_inference/text_embedding/one"
        assert requests("PUT", target, configuration(provider.url + "/embed")) == 200
        for worker in children_of(proxy.pid):
            limits = Path(f"/proc/{worker}/limits").read_text()
            assert re.search(r"Max core file size +0 +0 ", limits)
            os.kill(worker, signal.SIGABRT)
            proxy.wait_for(f"worker {worker} ended with -{int(signal.SIGABRT)}")
        assert proxy.stop() == 0
    found = files_below(tmp_path) | {"its output": proxy.output.encode()}
    assert found_in(found, SECRETS) == []
