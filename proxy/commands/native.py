"""`native`: copies an index of the proxy's to an Elasticsearch with `semantic_text` of its own."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

from proxy.commands.failure import CommandFailed
from proxy.commands.program import program
from proxy.commands.setup import PASSWORD, asked_password
from proxy.config import Config, ConfigError, load_config
from proxy.ground.errors import ProxyError

_BATCH: Final = 20  # texts that Elasticsearch's hugging_face service sends in one call


def native(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Tell what a copy costs and, if that is wanted, make it.

    Raises: ConfigError; CommandFailed for what could not be done.
    """
    options = _parser().parse_args(arguments)
    config = _configured(options, environ)
    logging.getLogger().addHandler(logging.NullHandler())  # failures are told by the command
    try:
        asyncio.run(_run(options, config))
    except ProxyError as error:
        raise CommandFailed(error.reason) from None
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"{program()} native",
        description="Copy an index with semantic_text fields of the proxy's to an Elasticsearch "
        "that has the type itself, with its documents and their vectors. Without --execute it is "
        "only told what that costs.",
        epilog="Requests are sent with the proxy's own credentials, or as the user of --username, "
        f"whose password {PASSWORD} has, or the terminal is asked for.",
    )
    add = parser.add_argument
    add("index", metavar="INDEX", help="the index, or an alias of it alone; it is only read")
    add("--to", required=True, metavar="NEW", dest="new", help="the index to be made")
    add("--execute", action="store_true", help="make the copy, or go on with one")
    add("--swap", action="store_true", help="then move the aliases of INDEX to NEW")
    add("--back", action="store_true", help="from Elasticsearch's own type to the proxy's")
    add(
        "--endpoint",
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="what an inference endpoint with the same model is called in the copy",
    )
    add("--proxy", metavar="URL", help="where the proxy serves; default: the setting [listen]")
    add("--upstream", metavar="URL", help="the Elasticsearch with semantic_text of its own")
    add("--ca", type=Path, metavar="FILE", help="its certificate authority: http_ca.crt")
    add("--username", metavar="NAME", help="a user who may read INDEX and make NEW")
    add("--config", type=Path, metavar="FILE", help="a YAML file")
    return parser


def _configured(options: argparse.Namespace, environ: Mapping[str, str]) -> Config:
    flags = {"upstream.url": options.upstream, "upstream.ca_file": options.ca}
    config = load_config(options.config, environ, flags)
    if not config.upstream.urls:
        raise ConfigError("[upstream.url] is missing: --upstream URL")
    if options.username is None:
        return config
    upstream = replace(
        config.upstream,
        api_key=None,
        service_token=None,
        username=options.username,
        password=environ.get(PASSWORD) or asked_password(options.username),
    )
    return replace(config, upstream=upstream)


def _endpoints(pairs: Sequence[str]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        old, equals, new = pair.partition("=")
        if not (old and equals and new):
            raise CommandFailed(f"--endpoint [{pair}] is not OLD=NEW")
        found[old] = new
    return found


async def _run(options: argparse.Namespace, config: Config) -> None:
    # Slow to import: other commands do without.
    from proxy.commands.peers import opened, the_proxy
    from proxy.semantic.transfer.running import Wish, execute, preview

    async with AsyncExitStack() as stack:
        elasticsearch = await stack.enter_async_context(opened(config.upstream))
        proxy = await stack.enter_async_context(opened(the_proxy(config, options.proxy)))
        wish = Wish(
            index=options.index,
            new=options.new,
            source=elasticsearch if options.back else proxy,
            target=proxy if options.back else elasticsearch,
            batch=config.provider.max_batch_inputs if options.back else _BATCH,
            endpoints=_endpoints(options.endpoint),
            beneath=elasticsearch if options.back else None,
        )
        original, obstacles = await preview(wish, _tell)
        if not (options.execute or options.swap):
            for obstacle in obstacles:
                _tell(f"not possible yet: {obstacle}")
            _tell("Nothing has been changed. --execute makes the copy.")
            return
        if obstacles:
            raise CommandFailed(obstacles[0])
        await execute(wish, original, _tell, swap=options.swap)


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
