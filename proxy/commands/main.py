"""Parses the command line and runs a command. Whatever fails is one line on standard error."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from proxy.commands.check import check
from proxy.commands.failure import CommandFailed
from proxy.commands.native import native
from proxy.commands.output import tolerant_output
from proxy.commands.program import program, version_text
from proxy.commands.rekey import rekey
from proxy.commands.serve import serve
from proxy.commands.settings import show_settings
from proxy.commands.setup import setup
from proxy.config import ConfigError, Settings, load_settings

Command = Callable[[Settings], int]
COMMANDS: Final[dict[str, tuple[Command, str]]] = {
    "serve": (serve, "run the proxy"),
    "check": (check, "try what serve needs, change nothing, and say what to do"),
    "rekey": (rekey, "seal all endpoints with the current key"),
}


# Commands with flags of their own.
OWN_FLAGS: Final[dict[str, Callable[[Sequence[str], Mapping[str, str]], int]]] = {
    "setup": setup,
    "native": native,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    with tolerant_output() as output:
        output.code = _run(arguments)
    return output.code


def _run(arguments: Sequence[str]) -> int:
    if arguments[:1] == ["provider"]:  # a program of its own, with a command line of its own
        from proxy.modelserver import main as provider

        return provider(list(arguments[1:]), f"{program()} provider")
    _forbid_core_files()
    try:
        if arguments and (own := OWN_FLAGS.get(arguments[0])) is not None:
            return own(arguments[1:], os.environ)
        options = _parser().parse_args(arguments)
        run, _ = COMMANDS[options.command]
        if options.config_only:
            run = show_settings
        return run(load_settings(options.config, os.environ, _flags(options)))
    except (ConfigError, CommandFailed) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1


def _forbid_core_files() -> None:
    """A crash must not write the memory to a disk, since it holds every token."""
    try:
        import resource
    except ImportError:  # not POSIX
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program(),
        description="Gives an Elasticsearch the hugging_face inference service.",
        epilog="Where the package is installed, hugging-face-proxy is short for python -m proxy.",
    )
    parser.add_argument("--version", action="version", version=version_text())
    parser.set_defaults(config_only=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (_, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=f"{text.capitalize()}.")
        _add_flags(command)
        if name == "check":
            command.add_argument(
                "--config-only",
                action="store_true",
                help="print the settings alone, each with where it comes from",
            )
    commands.add_parser("setup", help="make the API key that the proxy needs")
    commands.add_parser("native", help="copy an index to semantic_text of Elasticsearch's own")
    commands.add_parser("provider", help="serve small local models in Hugging Face's wire formats")
    return parser


def _add_flags(command: argparse.ArgumentParser) -> None:
    command.add_argument("--config", type=Path, metavar="FILE", help="a YAML file")
    command.add_argument("--upstream", metavar="URL", help="the Elasticsearch behind the proxy")
    command.add_argument("--listen", metavar="HOST:PORT", help="default: 127.0.0.1:9201")
    command.add_argument(
        "--store", metavar="KIND", help="elasticsearch (default with an upstream) or sqlite:PATH"
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


def _flags(options: argparse.Namespace) -> dict[str, Any]:
    """The values of the flags by the keys that they stand for; None where one was not given."""
    return {
        "upstream.url": options.upstream,
        "listen": options.listen,
        "admin.listen": options.admin,
        "store.kind": options.store,
        "workers": options.workers,
        "lane": options.lane,
    }
