"""The questions about indices, and what their answers say."""

from __future__ import annotations

import logging
from typing import Any, Final

import pytest

from proxy.ground.errors import UpstreamUnavailable
from proxy.semantic.discovery import Cluster, Declared
from proxy.semantic.errors import OwnCredentialsRefused
from proxy.semantic.ports import UpstreamAnswer
from tests.unit.semantic.clusters import SEMANTIC, answered
from tests.unit.semantic.stubs import NoUpstream

NOTHING: Final = answered(200, {})


class Upstream(NoUpstream):
    """Answers by path, in turn where there are several answers; `{}` else."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = {
            path: found if isinstance(found, list) else [found] for path, found in answers.items()
        }
        self.asked: list[str] = []

    async def ask_as_proxy(self, method: str, target: str, body: bytes = b"") -> UpstreamAnswer:
        self.asked.append(target)
        found = self.answers.get(target.partition("?")[0], [NOTHING])
        answer: Any = found.pop(0) if len(found) > 1 else found[0]
        return answered(200, answer) if isinstance(answer, dict) else answer


def of(path: str, *answers: Any) -> Cluster:
    return Cluster(Upstream({path: list(answers)}))


STATE: Final = "/_cluster/state/version"


async def test_the_clusters_state():
    assert await of(STATE, {"state_uuid": "u"}).state() == "u"
    assert await of(STATE, answered(403, {})).state() is None
    with pytest.raises(OwnCredentialsRefused):
        await of(STATE, answered(401, {})).state()
    with pytest.raises(UpstreamUnavailable):
        await of(STATE, {}).state()
    with pytest.raises(UpstreamUnavailable):
        await of(STATE, answered(503, {})).state()


async def test_where_fields_are_declared():
    upstream = Upstream(
        {
            "/_all/_field_caps": {
                "indices": ["a", "b", "c"],
                "fields": {"xinf.x.def1": {"keyword": {"indices": ["a"]}, "unmapped": {}}},
                "failures": [{"indices": ["f"]}],
            },
            "/f/_mapping": {"f": {}},
            "/_all/_mapping": {"closed": {}},
            "/_template": {"t": {}},
        }
    )
    found = await Cluster(upstream).declared()
    assert found == Declared(indices=frozenset(("a", "f", "closed")), templates=True)


async def test_fields_of_all_indices_are_not_listed_one_by_one():
    told = {"indices": ["a", "b"], "fields": {"xinf.x.def1": {"keyword": {}}}}
    assert (await of("/_all/_field_caps", told).declared()).indices == {"a", "b"}


async def test_what_the_proxy_may_not_see_is_told_once(caplog: pytest.LogCaptureFixture):
    upstream = Upstream({"/_all/_field_caps": answered(403, {}), "/_template": answered(403, {})})
    asking = Cluster(upstream)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert not await asking.declared()
    assert [one.args[0] for one in caplog.records if isinstance(one.args, tuple)] == [
        "view_index_metadata",
        "manage_index_templates",
    ]


async def test_what_an_expression_stands_for():
    told = {"a": {"aliases": {"x": {}}, "data_stream": "d"}}
    found = await of("/x,a*", told).resolve("x,a*")
    assert found.name == "x,a*"
    assert found.indices["a"].data_stream == "d"
    for status in (400, 403, 404):
        assert not (await of("/x", answered(status, {})).resolve("x")).indices


async def test_a_release_without_features_is_asked_without():
    upstream = Upstream({"/x": [answered(400, {"error": "unknown [features]"}), {"x": {}}]})
    asking = Cluster(upstream)
    for _ in range(2):
        await asking.resolve("x")
    assert ["features" in one for one in upstream.asked] == [True, False, False]


async def test_a_date_is_computed_by_the_upstream():
    path = "/%3Cx-%7Bnow%2Fd%7D%3E"
    found = await of(path, {"x-2026.11.29": {}}).resolve("<x-{now/d}>")
    assert found.name == "x-2026.11.29"
    missing = answered(404, {"error": {"index": "x-2026.11.29"}})
    found = await of(path, missing, {}).resolve("<x-{now/d}>")
    assert (found.name, found.indices) == ("x-2026.11.29", {})


async def test_an_expression_too_long_for_a_path_is_asked_for_in_parts():
    names = [f"{'n' * 100}{number:02}" for number in range(40)]
    upstream = Upstream({})
    assert (await Cluster(upstream).resolve(",".join(names))).indices == {}
    assert len(upstream.asked) > 1
    assert all(len(one) < 4000 for one in upstream.asked)


async def test_data_streams():
    streams = {"data_streams": [{"indices": [{"index_name": "i1"}, {"index_name": "i2"}]}]}
    assert await of("/_data_stream/d", streams).newest_of("d") == "i2"
    assert await of("/_data_stream/d", {}).newest_of("d") is None
    aliased = {"d1": {"aliases": {"x": {}}}, "d2": {"aliases": {"x": {"is_write_index": True}}}}
    assert await of("/_alias/x", aliased).written_stream("x") == "d2"
    assert await of("/_alias/x", {}).written_stream("x") is None


async def test_the_fields_of_indices():
    told = {"a": {"mappings": SEMANTIC}, "b": {"mappings": {}}}
    found = await of("/a,b", {}).fields([])
    assert found == {}
    found = await of("/a,b/_mapping", told).fields(["b", "a"])
    assert {name: list(fields) for name, fields in found.items()} == {"a": ["body"], "b": []}
    assert await of("/a/_mapping", answered(403, {})).fields(["a"]) == {"a": {}}
    assert await of("/a/_mapping", answered(404, {})).fields(["a"]) == {}


async def test_the_pipelines_of_indices():
    told = {
        "a": {"settings": {"index": {"default_pipeline": "p"}}},
        "b": {"settings": {"index": 1}},
    }
    found = await of("/a,b/_settings", told).settings("a,b")
    assert found == {"a": {"default_pipeline": "p"}, "b": {}}


LOW: Final = {"index": {"default_pipeline": "p", "final_pipeline": "f"}}
HIGH: Final = {"index": {"default_pipeline": "q"}}
SIMULATE: Final = "/_index_template/_simulate_index/x-1"


async def test_what_templates_give():
    template = {"mappings": SEMANTIC, "settings": {"index": {"default_pipeline": "p"}}}
    found = await of(SIMULATE, {"template": template}).to_come("x-1")
    assert (list(found.fields), found.settings) == (["body"], {"default_pipeline": "p"})
    for status in (400, 403, 404, 405):
        assert not (await of(SIMULATE, answered(status, {})).to_come("x-1")).fields


async def test_of_legacy_templates_the_one_of_higher_order_holds():
    legacy = {
        "low": {"index_patterns": ["x-*"], "order": "1", "settings": LOW},
        "high": {"index_patterns": ["*"], "order": 2, "settings": HIGH},
        "other": {"index_patterns": ["y"], "order": 3, "mappings": SEMANTIC},
    }
    upstream = Upstream({SIMULATE: {}, "/_template": legacy})
    found = await Cluster(upstream).to_come("x-1")
    assert found.settings == {"default_pipeline": "q", "final_pipeline": "f"}
    assert not found.fields
