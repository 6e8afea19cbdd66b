"""A few rounds of `make torture`: SIGKILL loses nothing and revives nothing deleted."""

from __future__ import annotations

from typing import Final

from tests.conftest import RUNNING
from tests.torture.bulkrounds import torture_bulks
from tests.torture.rounds import torture
from tests.torture.stage import Store, Victim

SEED: Final = 1


async def test_killed_workers_and_proxies_over_sqlite_lose_nothing() -> None:
    figures = await torture(Store.SQLITE, rounds=6, seed=SEED, registry=RUNNING)
    assert figures.faults == []
    assert figures.acknowledged > 10
    assert figures.kills.total() >= 6


async def test_killed_workers_proxies_and_nodes_lose_nothing() -> None:
    """Two proxies over an Elasticsearch that is also killed and restarted with its data."""
    figures = await torture(Store.ELASTICSEARCH, rounds=4, seed=SEED, registry=RUNNING)
    assert figures.faults == []
    assert figures.acknowledged > 10
    assert figures.kills[Victim.ELASTICSEARCH] == 1


async def test_killed_workers_proxies_and_nodes_lose_no_documents() -> None:
    """Nor are texts without their vectors, or documents there twice."""
    figures = await torture_bulks(rounds=2, seed=SEED, registry=RUNNING)
    assert figures.faults == []
    assert figures.counts["acknowledged"] > 10
    assert figures.kills[Victim.ELASTICSEARCH] == 1
