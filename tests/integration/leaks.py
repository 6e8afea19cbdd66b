"""Requests and replies that contain secrets, in the right places and in wrong ones."""

from __future__ import annotations

import base64
import gzip
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import quote

import cbor2
import orjson

from testbed.processes import Server
from tests.support.malformed import MALFORMED_YAML
from tests.support.stubs import (
    Call,
    FaultyServer,
    Reply,
    contract_reply,
    event_reply,
    json_reply,
)
from tests.support.users import USERS, basic

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
LIMIT: Final = {"requests_per_minute": 1_000_000}


class Run:
    """Sends requests to a proxy and keeps all bytes of the answers."""

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
        """Send a request; the status of the answer."""
        given = {"Host": "x", "Connection": "close", **self._own, **headers, **others}
        fields = {name.replace("_", "-").title(): text for name, text in given.items()}
        fields["Content-Length"] = str(len(body))
        head = "".join(f"{name}: {text}\r\n" for name, text in fields.items())
        answer = self.raw(f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + body)
        return int(answer.split(b" ", 2)[1])

    def raw(self, data: bytes) -> bytes:
        """Send bytes; all that is answered."""
        answer = b""
        with socket.create_connection((self.proxy.host, self.proxy.port), timeout=30) as caller:
            caller.sendall(data)
            while piece := caller.recv(65536):
                answer += piece
        # Named by the start of the request alone: failures show names, and the rest has secrets.
        self.answers[f"answer {len(self.answers)}, to {data[:60]!r}"] = answer
        return answer


def configuration(url: str, **settings: Any) -> bytes:
    service_settings = {"api_key": OLD, "url": url, "rate_limit": LIMIT, **settings}
    return orjson.dumps({"service": "hugging_face", "service_settings": service_settings})


# What callers do


def uses(run: Run, url: str) -> None:
    """Requests that succeed."""
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
    """Invalid configurations."""
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
        for token in (OLD, MISPLACED):  # the second one is also a valid name in YAML
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
    *MALFORMED_YAML,
    "service_settings: {api_key: *TOKEN}",
    "service_settings: {api_key: &TOKEN x, url: *TOKEN , x: *y}",
    "service_settings: {api_key: !TOKEN!x y}",
    "service_settings: {api_key: !!TOKEN y}",
    "%TAG !TOKEN! x\n%TAG !TOKEN! x\n---\napi_key: x",
    "service: hugging_face\nservice_settings:\n  api_key: TOKEN\n url: x",
]


def failures(run: Run, provider: FaultyServer) -> None:
    """Calls of providers that repeat the token in their answers."""
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
    """The header in many encodings, and the token alone in some."""
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
    """URLs that are not allowed, and callers without the privileges."""
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
    """Input that is not HTTP."""
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
