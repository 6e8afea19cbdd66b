"""`rekey`: seals all endpoints with the current key, which ends a change of keys."""

from __future__ import annotations

import asyncio
import sys

from proxy.commands.failure import CommandFailed
from proxy.config import Config, Settings
from proxy.ground.errors import ProxyError


def rekey(settings: Settings) -> int:
    """Seal every endpoint anew; `store.previous_key` can be removed from the configuration then.

    Raises: ConfigError; CommandFailed when the store fails.
    """
    try:
        count = asyncio.run(_reseal(settings.config))
    except ProxyError as error:
        raise CommandFailed(str(error)) from None
    sys.stdout.write(f"{count} endpoints are sealed with the current key\n")
    return 0


async def _reseal(config: Config) -> int:
    from proxy.store.opening import open_store  # slow to import
    from proxy.store.resealing import reseal

    store = open_store(config)
    try:
        await store.open()
        return await reseal(store)
    finally:
        await store.close()
