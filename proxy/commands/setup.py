"""`setup`: makes the API key that the proxy needs where Elasticsearch has security on."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

from proxy.commands.failure import CommandFailed
from proxy.commands.program import program
from proxy.config import ALIASES, KEYS, PREFIX, Config, ConfigError, kind_of, load_config
from proxy.ground.errors import ProxyError
from proxy.upstream import rights

PASSWORD: Final = "ELASTIC_PASSWORD"
# The proxy's own credentials, which are to be made: an earlier key must not stand in their way.
_OWN: Final = [key.name for key in KEYS.values() if kind_of(key.name)]


def setup(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Make a key, and print the lines of an environment to serve with, or write them to a file.

    Raises: ConfigError; CommandFailed if there is no key, in which case nothing is written.
    """
    options = _parser().parse_args(arguments)
    config = _configured(options, environ)
    password = environ.get(PASSWORD) or asked_password(options.username)
    upstream = replace(
        config.upstream,
        api_key=None,
        service_token=None,
        username=options.username,
        password=password,
    )
    config = replace(config, upstream=upstream)
    if options.write is None:
        lines = _made(config)
        sys.stdout.write(
            "".join(f"{'' if line[0] == '#' else 'export '}{line}\n" for line in lines)
        )
    else:
        _write(options.write, config)
        file = shlex.quote(str(options.write.absolute()))
        sys.stdout.write(f"# Written: set -a; . {file}; set +a; python -m proxy serve\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"{program()} setup",
        description="Make the API key that the proxy needs, and print the environment to serve "
        f"with. The password is asked for on the terminal, unless {PASSWORD} has it.",
    )
    add = parser.add_argument
    add("--config", type=Path, metavar="FILE", help="a YAML file")
    add("--upstream", metavar="URL", help="the Elasticsearch behind the proxy")
    add("--ca", type=Path, metavar="FILE", help="its certificate authority: http_ca.crt")
    add("--username", default="elastic", metavar="NAME", help="who makes the key: elastic")
    add("--semantic", action="store_true", help="let it serve [semantic_text], too")
    add("--write", type=Path, metavar="FILE", help="keep the lines in a new file of mode 0600")
    return parser


def _configured(options: argparse.Namespace, environ: Mapping[str, str]) -> Config:
    dropped = {name for name, key in ALIASES.items() if key in _OWN}
    dropped |= {f"{PREFIX}{key.replace('.', '_').upper()}" for key in _OWN}
    rest = {name: text for name, text in environ.items() if name not in dropped}
    flags = {
        "upstream.url": options.upstream,
        "upstream.ca_file": options.ca,
        "semantic.enabled": "true" if options.semantic else None,
    }
    config = load_config(options.config, rest, flags)
    if not config.upstream.urls:
        raise ConfigError("[upstream.url] is missing: --upstream URL")
    return config


def asked_password(username: str) -> str:
    """A password from the terminal. Raises: CommandFailed where there is none."""
    if not sys.stdin.isatty():
        raise CommandFailed(f"set {PASSWORD}, or run this on a terminal, which asks for it")
    return getpass.getpass(f"Password of {username}: ")


def _write(path: Path, config: Config) -> None:
    """Make the file first, as a key that cannot be kept would be lost."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise CommandFailed(f"cannot write [{path}]: {error.strerror}") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file, ExitStack() as failed:
        failed.callback(path.unlink)
        file.writelines(f"{line}\n" for line in _made(config))
        failed.pop_all()


def _made(config: Config) -> list[str]:
    """Make the key; comments and assignments, as shells, systemd and Docker read them."""
    from proxy.store.elasticsearch.apikey import NAME, Rights, make_api_key  # slow to import
    from proxy.store.elasticsearch.failures import PRIVILEGES

    upstream, index, semantic = config.upstream, config.store.index, config.semantic.enabled
    cluster, indices = rights.role()
    try:
        more = Rights(cluster, [indices]) if semantic else Rights()
        key = asyncio.run(make_api_key(upstream, index, more))
    except ProxyError as error:
        raise CommandFailed(str(error)) from None
    values = {
        "ELASTICSEARCH_URL": upstream.url,
        f"{PREFIX}UPSTREAM_CA_FILE": upstream.ca_file and upstream.ca_file.absolute(),
        f"{PREFIX}UPSTREAM_FINGERPRINT": upstream.fingerprint,
        f"{PREFIX}STORE_INDEX": None if index == Config().store.index else index,
        f"{PREFIX}SEMANTIC_ENABLED": "true" if semantic else None,
        "ELASTIC_API_KEY": key.encoded,
    }
    version = " and ask for the version" if key.tells_version else ""
    mappings = ", see and add to the mappings of all indices" if semantic else ""
    allowed = f"{', '.join(PRIVILEGES)} on {index}{mappings}{version}, and nothing else"
    return [
        f"# The API key {NAME} ({key.id}) may {allowed}.",
        *(f"{name}={shlex.quote(str(value))}" for name, value in values.items() if value),
    ]
