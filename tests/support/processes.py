"""Proxies as real processes, in an environment without the developer's own settings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from yarl import URL

from proxy.config import ALIASES, PREFIX
from testbed.processes import Process, Server, proxy_command

# The developer's own settings, which the proxies under test must not see.
FOREIGN: Final = (PREFIX, *ALIASES, "HF_TOKEN")
KEY: Final = "6b" * 32  # an encryption key for tests: 32 bytes, hex
# Each pytest process has a store index of its own, as all share one Elasticsearch.
INDEX: Final = f"hugging-face-inference-endpoints-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"

ELASTICSEARCH_PORTS: Final[set[int]] = set()  # of the clusters that tests have asked for


def clean_environ(state: Path, values: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """The environment of a proxy under test; a value of None removes a variable."""
    environ = {name: text for name, text in os.environ.items() if not name.startswith(FOREIGN)}
    environ |= {
        "XDG_STATE_HOME": str(state),
        "HFPROXY_STORE_ENCRYPTION_KEY": KEY,
        "HFPROXY_STORE_INDEX": INDEX,
        "HFPROXY_ADMIN_LISTEN": "",  # one port, many proxies
    }
    for name, value in (values or {}).items():
        if value is None:
            environ.pop(name, None)
        else:
            environ[name] = value
    return environ


def _for_upstream(urls: str | None) -> dict[str, str]:
    """Settings for proxies before a stub, which is not to be asked about semantic fields."""
    ports = {URL(url.strip()).port for url in urls.split(",")} if urls else set()
    is_stub = bool(ports) and ports.isdisjoint(ELASTICSEARCH_PORTS)
    return {"HFPROXY_SEMANTIC_ENABLED": "false"} if is_stub else {}


class Serve:
    """Starts proxies; the end of its `with` block ends them all.

    `serve("--no-lane", upstream=url, env={"HFPROXY_STORE_INDEX": "mine"})` returns a running
    Server; with `wait=False` it is not yet listening. Each gets a free port unless told otherwise.
    """

    def __init__(self, state: Path, registry: list[Process]) -> None:
        self._state = state
        self._registry = registry
        self._stack = ExitStack()

    def __enter__(self) -> Serve:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def __call__(
        self,
        *flags: str,
        upstream: str | None = None,
        listen: str = "127.0.0.1:0",
        env: Mapping[str, str | None] | None = None,
        wait: bool = True,
    ) -> Server:
        target = [] if upstream is None else ["--upstream", upstream]
        arguments = proxy_command("serve", *target, "--listen", listen, *flags)
        environ = clean_environ(self._state, {**_for_upstream(upstream), **(env or {})})
        return self.start(Server(arguments, environ), wait=wait)

    def start(self, server: Server, *, wait: bool = True, timeout: float = 30.0) -> Server:
        """Look after any other server, too."""
        self._registry.append(server)
        self._stack.callback(self._registry.remove, server)
        self._stack.callback(server.stop)
        if wait:
            server.wait_until_listening(timeout)
        return server
