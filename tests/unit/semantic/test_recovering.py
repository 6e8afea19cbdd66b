"""What is made of the answers of an Elasticsearch that comes back from a crash.

Recorded from 8.19.8 and 9.2.4, which were killed and started again.
"""

from __future__ import annotations

from typing import Any

import pytest

from proxy.ground.errors import UpstreamUnavailable
from proxy.semantic.interception import Interceptor
from proxy.semantic.targets import write_target
from proxy.semantic.upstreamrelease import UpstreamRelease
from proxy.semantic.uses import uses_of
from proxy.upstream.passingback import UpstreamAnswer
from tests.unit.semantic.clusters import SEMANTIC, Cluster, answered, registry

NO_RELEASE = UpstreamRelease(None)  # type: ignore[arg-type] # it is not asked


def failed(status: int, kind: str, reason: str = "", **more: str) -> UpstreamAnswer:
    error = {"type": kind, "reason": reason, **more}
    return answered(status, {"error": {"root_cause": [error], **error}, "status": status})


BLOCKED = failed(
    503,
    "cluster_block_exception",
    "blocked by: [SERVICE_UNAVAILABLE/1/state not recovered / initialized];",
)
NO_COPY = failed(503, "no_shard_available_action_exception", "has no active shard copy")
RECOVERING = failed(404, "illegal_index_shard_state_exception", "CurrentState[RECOVERING]")
SEES_NONE = answered(200, {"indices": []})
NO_ROLES = failed(
    403,
    "security_exception",
    "action [x] is unauthorized for user [y] with effective roles [] "
    "(assigned roles [z] were not found)",
)


@pytest.mark.parametrize("told", [RECOVERING, NO_COPY, SEES_NONE, BLOCKED])
async def test_indices_that_cannot_be_asked_for_fields_are_read_from_their_mappings(told):
    cluster = Cluster(notes=SEMANTIC)
    cluster.answers["/_all/_field_caps"] = told
    known = registry(cluster)
    await known.look()
    assert known.snapshot.declared.indices == {"notes"}
    assert Interceptor(known, NO_RELEASE).takes(b"POST", b"/_bulk")


async def test_an_index_without_shards_beside_others_is_read_from_its_mapping():
    cluster = Cluster(plain={}, notes=SEMANTIC)
    cluster.answers["/_all/_field_caps"] = answered(
        200, {"indices": ["plain"], "failures": [{"indices": ["notes"]}]}
    )
    known = registry(cluster)
    await known.look()
    assert known.snapshot.declared.indices == {"notes"}


@pytest.mark.parametrize("told", [BLOCKED, NO_ROLES])
@pytest.mark.parametrize(
    "path",
    [
        "/_cluster/state/version",
        "/_all/_mapping",
        "/_index_template",
        "/_component_template",
        "/_template",
        "/_ingest/pipeline",
    ],
)
async def test_a_look_that_is_not_answered_in_full_shows_nothing(path, told):
    cluster = Cluster()
    cluster.answers[path] = told
    known = registry(cluster)
    with pytest.raises(UpstreamUnavailable):
        await known.look()
    assert Interceptor(known, NO_RELEASE).takes(b"POST", b"/_bulk")
    with pytest.raises(UpstreamUnavailable):
        await write_target(known, "notes")


@pytest.mark.parametrize("told", [BLOCKED, NO_ROLES])
@pytest.mark.parametrize("path", ["/notes", "/notes/_mapping", "/notes/_settings"])
async def test_an_index_that_cannot_be_looked_up_is_not_plain(path, told):
    cluster = Cluster(notes=SEMANTIC)
    known = registry(cluster)
    await known.look()
    cluster.answers[path] = told
    with pytest.raises(UpstreamUnavailable):
        await write_target(known, "notes")
    assert "notes" not in known.snapshot.plain
    del cluster.answers[path]
    assert (await write_target(known, "notes")).fields


@pytest.mark.parametrize("told", [BLOCKED, answered(404, {"error": "alias [logs] missing"})])
async def test_a_data_stream_that_cannot_be_looked_up_is_not_plain(told):
    backing = {"aliases": {}, "data_stream": "logs"}
    cluster = Cluster(**{"ds-1": {}, "ds-2": SEMANTIC})
    cluster.answers |= {
        "/logs": answered(200, {"ds-1": backing, "ds-2": backing}),
        "/_data_stream/logs": told,
    }
    known = registry(cluster)
    with pytest.raises(UpstreamUnavailable):
        await write_target(known, "logs")
    newest: Any = {"indices": [{"index_name": "ds-1"}, {"index_name": "ds-2"}]}
    cluster.answers["/_data_stream/logs"] = answered(200, {"data_streams": [newest]})
    assert (await write_target(known, "logs")).index == "ds-2"


async def test_a_date_whose_index_is_said_to_be_missing_is_asked_for_again():
    date = "<notes-{now/d}>"
    path = "/%3Cnotes-%7Bnow%2Fd%7D%3E"
    cluster = Cluster(**{"notes-2026.11.29": SEMANTIC})
    known = registry(cluster)
    await known.look()
    cluster.missing[path] = failed(404, "index_not_found_exception", index="notes-2026.11.29")
    cluster.answers[path] = answered(200, {"notes-2026.11.29": {"aliases": {}}})
    with pytest.raises(UpstreamUnavailable):
        await known.look_up(date)
    cluster.answers[path] = answered(200, {})
    assert (await known.look_up(date)).name == "notes-2026.11.29"


async def test_what_names_an_endpoint_is_not_guessed():
    cluster = Cluster()
    cluster.answers["/_all/_mapping"] = BLOCKED
    with pytest.raises(UpstreamUnavailable):
        await uses_of("embed", cluster)  # type: ignore[arg-type] # it asks as the proxy only
