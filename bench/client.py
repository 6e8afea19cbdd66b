"""A caller of servers whose bodies are JSON."""

from __future__ import annotations

import json
import sys
from http.client import HTTPConnection
from typing import Any


class Client:
    """One connection to a server."""

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=300)

    def __call__(self, method: str, target: str, body: Any = None) -> Any:
        """The answer's document; exits for an error."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        self._connection.request(method, target, data, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        told = json.loads(answer.read() or b"{}")
        if answer.status >= 300 or (isinstance(told, dict) and told.get("errors")):
            sys.exit(f"{method} {target} failed: {answer.status} {str(told)[:500]}")
        return told
