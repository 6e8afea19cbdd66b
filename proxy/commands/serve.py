"""The command `serve`: one process, or several workers."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from proxy.config import Config, split_address


def serve_command(config: Config) -> int:
    from proxy.errors import StoreError
    from proxy.telemetry.logs import set_up_logging

    set_up_logging(config.log)
    try:
        if config.workers > 1:
            return _serve_by_workers(config)
        _run(config)
    except StoreError as error:
        return fail(str(error))
    except OSError as error:
        return fail(f"cannot listen on [{config.listen}]: {error.strerror or error}")
    return 0


def _serve_by_workers(config: Config) -> int:
    from proxy.commands.workers import Workers, reserve

    host, port = split_address(config.listen)
    held, port = reserve(host, port)
    shared = replace(config, listen=f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    with held:
        work = Workers(config.workers, lambda ready: _run(shared, ready, reuse_port=True))
        return work.run()


def _run(
    config: Config, ready: Callable[[], None] = lambda: None, *, reuse_port: bool = False
) -> None:
    from proxy.serving import serve

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(serve(config, ready, reuse_port=reuse_port))


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def fail(reason: str) -> int:
    sys.stderr.write(f"error: {reason}\n")
    return 1
