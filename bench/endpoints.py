"""Proxies with an endpoint, as the benches of inference need them."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from bench.client import Client
from bench.subjects import Running, start
from testbed.processes import proxy_command

EMBEDDING: Final = "/_inference/text_embedding/bench"
COMPLETION: Final = "/_inference/completion/bench"


def start_proxy(
    name: str, folder: Path, port: int, core: int, stack: ExitStack, settings: str = "{}"
) -> Running:
    """A proxy without an upstream; `settings` are in YAML."""
    os.environ["XDG_STATE_HOME"] = str(folder)  # where it keeps its generated key
    config = folder / f"{name}.yml"
    config.write_text(settings)
    where = ["--listen", f"127.0.0.1:{port}", "--store", f"sqlite:{folder}/{name}.db"]
    command = proxy_command("serve", "--config", str(config), *where)
    return stack.enter_context(start(name, command, port, core))


def put_endpoint(caller: Client, target: str, url: str) -> None:
    """Create an endpoint whose rate is not limited; `url` is its provider's."""
    limit = {"requests_per_minute": 1_000_000_000}
    settings = {"api_key": "hf_x", "url": url, "rate_limit": limit}
    caller("PUT", target, {"service": "hugging_face", "service_settings": settings})
