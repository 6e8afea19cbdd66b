"""Where documents go: their index, its fields and its pipelines."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.semantic.pipelines import Pipeline
from proxy.semantic.targets import Pipelines, WriteTarget, pipelines_of, write_target
from tests.unit.semantic.clusters import SEMANTIC, Cluster, answered, registry
from tests.unit.semantic.targets import semantic_field

OURS = {"ours": Pipeline(id="ours", before=(), after=())}


@pytest.mark.parametrize(
    ("settings", "pipelines"),
    [
        ({}, Pipelines()),
        ({"default_pipeline": "_none", "final_pipeline": "f"}, Pipelines(final="f")),
        ({"default_pipeline": "d"}, Pipelines(main="d")),
    ],
)
def test_the_pipelines_of_an_index(settings: Any, pipelines: Pipelines):
    assert pipelines_of(settings) == pipelines


def test_a_request_names_another_main_pipeline_and_never_the_final_one():
    pipelines = Pipelines(main="d", final="f")
    assert pipelines.for_request(None) == pipelines
    assert pipelines.for_request("x") == Pipelines(main="x", final="f")
    assert pipelines.for_request("_none") == Pipelines(final="f")


def test_what_concerns_the_proxy():
    plain = WriteTarget(index="a", fields={})
    assert not plain.concerns(None, OURS)
    assert plain.concerns("ours", OURS)
    assert WriteTarget(index="a", fields={"body": semantic_field()}).concerns(None, {})
    final = WriteTarget(index="a", fields={}, pipelines=Pipelines(final="ours"))
    assert final.concerns("_none", OURS)


async def test_an_index_with_fields_and_its_pipelines():
    cluster = Cluster(notes=SEMANTIC)
    settings = {"notes": {"settings": {"index": {"default_pipeline": "p"}}}}
    cluster.answers["/notes/_settings"] = answered(200, settings)
    known = registry(cluster)
    found = await write_target(known, "notes")
    assert (found.index, list(found.fields), found.pipelines.main) == ("notes", ["body"], "p")
    asked = len(cluster.asked)
    assert await write_target(known, "notes") is found
    assert not [one for one in cluster.asked[asked:] if "notes" in one]


async def test_a_plain_index_is_not_asked_for_its_settings():
    cluster = Cluster(plain={}, notes=SEMANTIC)
    known = registry(cluster)
    for _ in range(2):
        assert await write_target(known, "plain") == WriteTarget(index="plain", fields={})
    assert not [one for one in cluster.asked if "_settings" in one]


async def test_an_index_to_come_has_what_templates_give_it():
    cluster = Cluster(notes=SEMANTIC)
    template = {"template": {"mappings": SEMANTIC, "settings": {"index": {"final_pipeline": "f"}}}}
    cluster.answers["/_index_template/_simulate_index/late"] = answered(200, template)
    found = await write_target(registry(cluster), "late")
    assert (found.index, list(found.fields), found.pipelines.final) == (None, ["body"], "f")
