"""The upstream, and a provider that means well: `python -m tests.siege.stubs HOST:PORT HOST:PORT`.

The upstream has security: it knows everybody, and all but `nobody` may do everything. Both answer
without looking at more than they must, so that they take little time from the others.
"""

from __future__ import annotations

import asyncio
import re
import sys
from base64 import b64decode
from typing import Any, Final, cast

import orjson

from tests.siege.wire import NOBODY

LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
CREDENTIALS: Final = re.compile(rb"(?i)\r\nauthorization: *basic +(\S+)")
END: Final = b"0\r\n\r\n"  # of a chunked body
VECTOR: Final = orjson.dumps([[0.25] * 64])
ENDLESS: Final = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 5000


class Stub(asyncio.Protocol):
    """Reads requests and answers each; what is in a chunked body is not looked at."""

    def __init__(self) -> None:
        self._data = b""
        self._head = b""  # of a request whose chunked body comes
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._data += data
        while self._data:
            if self._head:
                if not self._data.endswith(END):
                    self._data = self._data[-len(END) :]
                    return
                head, self._head, body, self._data = self._head, b"", b"", b""
            else:
                head, found, rest = self._data.partition(b"\r\n\r\n")
                if not found:
                    return
                if b"chunked" in head.lower():
                    self._head, self._data = head, rest
                    continue
                length = LENGTH.search(head)
                size = int(length[1]) if length else 0
                if len(rest) < size:
                    return
                body, self._data = rest[:size], rest[size:]
            self.answer(head, body)

    def answer(self, head: bytes, body: bytes) -> None:
        self.write(200, VECTOR)

    def write(self, status: int, body: bytes) -> None:
        lines = "X-Elastic-Product: Elasticsearch\r\nContent-Type: application/json"
        start = f"HTTP/1.1 {status} OK\r\n{lines}\r\nContent-Length: {len(body)}\r\n\r\n"
        self.transport.write(start.encode() + body)


class Upstream(Stub):
    def answer(self, head: bytes, body: bytes) -> None:
        method, target, *_ = head.decode().split()
        found = CREDENTIALS.search(head)
        user = b64decode(found[1]).decode().partition(":")[0] if found else None
        if target.startswith("/_security/") and user is None:
            error = {"type": "security_exception", "reason": "missing authentication credentials"}
            self.write(401, orjson.dumps({"error": error, "status": 401}))
        elif target == "/_security/user/_has_privileges":
            actions = dict.fromkeys(orjson.loads(body)["cluster"], user != NOBODY)
            self.write(200, orjson.dumps({"username": user, "cluster": actions}))
        elif target == "/_security/_authenticate":
            realm = {"name": "siege", "type": "native"}
            who: dict[str, Any] = {"username": user, "roles": [], "authentication_realm": realm}
            self.write(200, orjson.dumps(who))
        elif target.startswith("/_inference"):
            text = f"no handler found for uri [{target}] and method [{method}]"
            self.write(400, orjson.dumps({"error": text}))
        elif target == "/siege/interim":
            self.go_on()
        else:
            self.write(200, b'{"ok":true}')

    def go_on(self) -> None:
        """Send answers that are none, as long as there is somebody who takes them."""
        if self.transport.is_closing():
            return
        if not self._paused:
            self.transport.write(ENDLESS)
        asyncio.get_running_loop().call_later(0.001, self.go_on)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False


async def serve(upstream: str, provider: str) -> None:
    loop = asyncio.get_running_loop()
    for address, protocol in ((upstream, Upstream), (provider, Stub)):
        host, _, port = address.rpartition(":")
        await loop.create_server(protocol, host, int(port))
    sys.stdout.write(f"listening on http://{upstream}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
