"""`serve`: runs the proxy as one process, or as several workers.

`proxy.serving` is imported where it runs, so that other commands start at once.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import logging
from collections.abc import Callable
from dataclasses import replace

from proxy.commands.failure import CommandFailed
from proxy.config import Config, Settings, readable_by_all, split_address
from proxy.ground.epoch import Epoch
from proxy.ground.errors import StoreError
from proxy.telemetry.logs import set_up_logging

log = logging.getLogger(__name__)


def serve(settings: Settings) -> int:
    """Serve until the process is told to stop; the exit code.

    Raises: ConfigError; CommandFailed when the store or the address cannot be had.
    """
    config = settings.config
    set_up_logging(config.log)
    for warning in (*settings.remarks, *readable_by_all(config)):
        log.warning(warning)
    try:
        if config.workers > 1:
            return _serve_by_workers(config)
        _serve_here(config)
    except StoreError as error:
        raise CommandFailed(str(error)) from None
    except OSError as error:
        reason = error.strerror or error
        raise CommandFailed(f"cannot listen on [{config.listen}]: {reason}") from None
    return 0


def _serve_by_workers(config: Config) -> int:
    from proxy.commands.workers import Workers, reserve  # for POSIX alone

    host, port = split_address(config.listen)
    reserved, port = reserve(host, port)
    shared = replace(config, listen=f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    epoch = Epoch()
    _import_ahead(config)
    with reserved:
        workers = Workers(
            config.workers,
            lambda ready: _serve_here(
                shared, ready, reuse_port=True, reports=workers.is_first, epoch=epoch
            ),
        )
        return workers.run()


def _import_ahead(config: Config) -> None:
    """Import what workers need: they begin with it, and share its memory."""
    kind = config.store_kind.partition(":")[0]
    for module in ("proxy.serving", f"proxy.store.{kind}"):
        importlib.import_module(module)
    _loop_factory()
    gc.collect()
    gc.freeze()  # else the first collection of each worker would copy what they share


def _serve_here(
    config: Config,
    ready: Callable[[], None] = lambda: None,
    *,
    reuse_port: bool = False,
    reports: bool = True,
    epoch: Epoch | None = None,
) -> None:
    from proxy import serving

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(
            serving.serve(config, ready, reuse_port=reuse_port, reports=reports, epoch=epoch)
        )


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
