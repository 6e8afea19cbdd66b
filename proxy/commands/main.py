"""The commands: serve, check, rekey, provider. Parses arguments, calls, says what went wrong."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from proxy.commands.serve import fail, serve_command
from proxy.config import Config, ConfigError, describe, load_config


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit code. Failures are one line on standard error."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments[:1] == ["provider"]:
        from proxy.modelserver import main as provide

        return provide(arguments[1:])
    options = _parser().parse_args(arguments)
    _leave_no_core()
    try:
        config = load_config(options.config, os.environ, _flags(options))
        if options.command == "check":
            return _check(config)
        if options.command == "rekey":
            return _rekey(config)
        return serve_command(config)
    except ConfigError as error:
        return fail(str(error))


def _leave_no_core() -> None:
    """A crash must not write the memory to a disk: it holds every token."""
    try:
        import resource
    except ImportError:  # no POSIX
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m proxy",
        description="Gives an Elasticsearch the hugging_face inference service.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="run the proxy")
    check = commands.add_parser("check", help="print the configuration in force, secrets masked")
    rekey = commands.add_parser("rekey", help="seal all endpoints with the current key")
    commands.add_parser("provider", help="serve small local models in Hugging Face's wire formats")
    for command in (serve, check, rekey):
        command.add_argument("--config", type=Path, metavar="FILE", help="a YAML file")
        command.add_argument("--upstream", metavar="URL", help="the Elasticsearch behind the proxy")
        command.add_argument("--listen", metavar="HOST:PORT", help="default: 127.0.0.1:9201")
        command.add_argument(
            "--store",
            metavar="KIND",
            help="elasticsearch (default with an upstream) or sqlite:PATH",
        )
        command.add_argument(
            "--admin", metavar="HOST:PORT", help="health and metrics; default: 127.0.0.1:9280"
        )
        command.add_argument("--workers", type=int, metavar="N", help="processes; default: 1")
        command.add_argument(
            "--no-lane",
            dest="lane",
            action="store_false",
            default=None,
            help="serve everything by aiohttp, without the forwarding lane",
        )
    return parser


def _flags(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "upstream.url": options.upstream,
        "listen": options.listen,
        "admin.listen": options.admin,
        "store.kind": options.store,
        "workers": options.workers,
        "lane": options.lane,
    }


def _check(config: Config) -> int:
    for key, value in describe(config).items():
        sys.stdout.write(f"{key}: {'' if value is None else value}\n")
    return 0


def _rekey(config: Config) -> int:
    """The last step of a change of keys: after it, `store.previous_key` is needed no more."""
    from proxy.errors import ProxyError
    from proxy.store.opening import open_store
    from proxy.store.resealing import reseal

    async def run() -> int:
        store = open_store(config)
        try:
            await store.open()
            return await reseal(store)
        finally:
            await store.close()

    try:
        count = asyncio.run(run())
    except ProxyError as error:
        return fail(str(error))
    sys.stdout.write(f"{count} endpoints are sealed with the current key\n")
    return 0
