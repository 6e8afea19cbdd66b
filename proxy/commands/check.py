"""`check`: tries what `serve` needs, changes nothing, and prints a line for each finding."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Sequence
from typing import Final

from proxy.commands.checks.findings import Finding, Level, error
from proxy.config import Settings

BUDGET: Final = 10.0  # seconds for everything


def check(settings: Settings) -> int:
    """Print what is found; 1 if serving would fail."""
    # Findings say what the parts would log.
    logging.getLogger().addHandler(logging.NullHandler())
    return asyncio.run(_check(settings))


async def _check(settings: Settings) -> int:
    # Slow to import: other commands do without.
    from proxy.commands.checks.files import check_files
    from proxy.commands.checks.nodes import check_nodes
    from proxy.commands.checks.ports import check_ports
    from proxy.commands.checks.store import check_store

    config = settings.config
    parts: dict[str, Awaitable[Sequence[Finding]]] = {
        "files": asyncio.to_thread(lambda: list(check_files(settings))),
        "ports": asyncio.to_thread(lambda: list(check_ports(config))),
        "upstream": check_nodes(config),
        "store": check_store(config),
    }
    tasks = {name: asyncio.ensure_future(part) for name, part in parts.items()}
    _, late = await asyncio.wait(tasks.values(), timeout=BUDGET)
    failed = False
    for name, task in tasks.items():
        findings = [_too_late(name)] if task in late else task.result()
        for finding in findings:
            sys.stdout.write(f"{finding}\n")
            failed |= finding.level is Level.ERROR
    if late:
        # A name that is still being looked up keeps its thread, for which Python would wait.
        sys.stdout.flush()
        os._exit(1)
    return int(failed)


def _too_late(part: str) -> Finding:
    return error(
        f"{part}: not done after {BUDGET:g} seconds: check that names of hosts can be looked up"
    )
