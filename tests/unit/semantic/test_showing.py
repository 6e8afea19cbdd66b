"""Mappings are shown as users declared them."""

from __future__ import annotations

from typing import Any, Final

import pytest

from proxy.ground.errors import IllegalArgument
from proxy.semantic import layout
from proxy.semantic.showing import show_nothing_of_ours
from tests.unit.semantic.exchanges import Answer, world
from tests.unit.semantic.targets import semantic_field, target

DEFINITION: Final = {"type": "semantic_text", "inference_id": "e"}
BODY: Final = semantic_field(definition={"type": "semantic_text"}, seen=False)
HERE: Final = target(BODY)
CONTAINER: Final = layout.container({"body": layout.field_mapping(DEFINITION, None)})
MAPPING: Final = {"properties": {"body": dict(layout.PLACEHOLDER), "xinf": CONTAINER}}


@pytest.mark.parametrize("path", ["/a", "/a/_mapping", "/_mapping", "/_index_template/t"])
async def test_mappings(path: str):
    here = world(HERE, {"a": {"mappings": MAPPING}})
    assert await here.request("GET", path) == {
        "a": {"mappings": {"properties": {"body": DEFINITION}}}
    }


async def test_the_clusters_state_has_pipelines_too():
    config = {"inference": {"model_id": "e"}}
    pipeline = {"processors": [], "_meta": {"xinf": {"before": [config], "after": []}}}
    here = world(HERE, {"a": {"mappings": {"_doc": MAPPING}}, "p": {"config": pipeline}})
    assert await here.request("GET", "/_cluster/state") == {
        "a": {"mappings": {"_doc": {"properties": {"body": DEFINITION}}}},
        "p": {"config": {"processors": [config]}},
    }


def leaf(mapping: Any, path: str = "body") -> Any:
    return {"full_name": path, "mapping": {path.rpartition(".")[2]: mapping}}


async def test_single_fields():
    fields = {
        "body": leaf(dict(layout.PLACEHOLDER)),
        "title": leaf({"type": "text"}, "title"),
        "xinf.body.def1": leaf({"type": "keyword"}, "xinf.body.def1"),
    }
    here = world(HERE, {"a": {"mappings": fields}, "b": {"mappings": {"body": leaf({})}}})
    answer = await here.request("GET", "/a/_mapping/field/*")
    assert answer["a"]["mappings"] == {
        "body": leaf(DEFINITION),
        "title": leaf({"type": "text"}, "title"),
    }
    assert answer["b"]["mappings"] == {"body": leaf({})}


async def test_defaults_are_shown_if_they_are_asked_for():
    here = world(HERE, {"a": {"mappings": {"body": leaf(dict(layout.PLACEHOLDER))}}})
    answer = await here.request("GET", "/a/_mapping/field/body?include_defaults")
    assert {"model_settings", "index_options"} <= answer["a"]["mappings"]["body"]["mapping"][
        "body"
    ].keys()


async def test_multi_fields_are_shown_below_their_parent():
    inner = semantic_field("memo.s", definition={"type": "semantic_text"}, seen=False)
    memo = {"type": "text", "fields": {"s": dict(layout.PLACEHOLDER)}}
    here = world(target(inner), {"a": {"mappings": {"memo": leaf(memo, "memo")}}})
    answer = await here.request("GET", "/a/_mapping/field/memo")
    assert answer["a"]["mappings"]["memo"]["mapping"]["memo"]["fields"]["s"] == DEFINITION


async def test_errors_speak_of_the_users_fields():
    here = world(HERE, Answer({"error": {"reason": "[xinf.body.chunks]"}}, 400))
    answer = await here.answer("GET", "/a/_mapping/field/body")
    assert b"xinf" not in answer.body  # type: ignore[attr-defined]


async def other(here: Any, method: str, path: str) -> Any:
    exchange, _ = here.exchange(method, "/a/_search")
    object.__setattr__(exchange.rest, "path", path)
    object.__setattr__(exchange.rest, "target", path)
    object.__setattr__(exchange.rest, "method", method)
    return await show_nothing_of_ours(exchange)


@pytest.mark.parametrize("path", ["/_cat/indices", "/a/_stats", "/a/_termvectors/1"])
async def test_other_answers_are_cut_where_there_may_be_something_of_ours(path: str):
    here = world(HERE)
    await other(here, "GET", path)
    assert here.upstream.changes[0] is not None


async def test_answers_about_other_indices_pass_as_they_are():
    here = world(target())
    await other(here, "GET", "/plain/_stats")
    assert here.upstream.changes == [None]


@pytest.mark.parametrize("path", ["/a/type/1", "/a/type/_bulk", "/a/type/1/_update"])
async def test_documents_below_types_would_be_written_without_vectors(path: str):
    with pytest.raises(IllegalArgument, match="no handler found for uri"):
        await other(world(HERE), "POST", path)


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        (
            b'search  source[{"_source":{"includes":[],"excludes":["a","xinf"]}}]  1ms\n',
            b'search  source[{"_source":{"includes":[],"excludes":["a"]}}]  1ms\n',
        ),
        (
            b'[{"description":"source[{\\"excludes\\":[\\"xinf\\"]}]"}]',
            b'[{"description":"source[{\\"excludes\\":[]}]"}]',
        ),
        (b"\xff search\n", None),
    ],
)
async def test_tasks_in_a_table(sent, shown):
    here = world(target(), {})
    await here.answer("GET", "/_cat/tasks?detailed")
    (change,) = here.upstream.changes
    assert change.whole(sent, None) == shown
