"""Requests that declare fields."""

from __future__ import annotations

from typing import Any, Final

import pytest

from proxy.ground.errors import IllegalArgument
from proxy.semantic import layout
from proxy.semantic.declaring import Place
from tests.unit.semantic.exchanges import Answer, world
from tests.unit.semantic.targets import target

FIELD: Final = {"type": "semantic_text", "inference_id": "e"}
MAPPINGS: Final = {"properties": {"a": FIELD}}
LEGACY: Final = "index.mapping.semantic_text.use_legacy_format"


def sent(here: Any) -> Any:
    return here.upstream.asked[-1].json


@pytest.mark.parametrize(
    ("method", "path", "keys"),
    [
        ("PUT", "/i", ("mappings",)),
        ("PUT", "/_template/t", ("mappings",)),
        ("POST", "/i/_rollover", ("mappings",)),
        ("PUT", "/_index_template/t", ("template", "mappings")),
        ("PUT", "/_component_template/t", ("template", "mappings")),
        ("PUT", "/_data_stream/d/_mappings", ()),
        ("POST", "/_index_template/_simulate", ("template", "mappings")),
    ],
)
async def test_a_field_is_made_into_others_wherever_mappings_stand(
    method: str, path: str, keys: tuple[str, ...]
):
    body: Any = MAPPINGS
    for key in reversed(keys):
        body = {key: body, "other": 1}
    here = world(target(), {"acknowledged": True})
    assert await here.request(method, path, body) == {"acknowledged": True}
    made = sent(here)
    for key in keys:
        assert made["other"] == 1
        made = made[key]
    assert made["properties"]["a"] == layout.PLACEHOLDER
    below = made["properties"]["xinf"]["properties"]["a"]
    assert layout.definition_of(below) == (1, FIELD)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"rubbish",
        b'{"mappings":{"properties":{"a":{"type":"keyword"}}}}',
        b'{"mappings":{"properties":{"a":{"type":"keyword","meta":{"x":"semantic_text"}}}}}',
        b'{"mappings":[],"x":"semantic_text"}',
        b'{"x":"\\u0073emantic_text"}',
    ],
)
async def test_what_declares_nothing_of_ours_is_passed_on(body: bytes):
    here = world(target())
    await here.request("PUT", "/i", body)
    assert here.upstream.handed[0].body == body


async def test_a_field_of_an_endpoint_of_elasticsearchs_own_is_passed_on():
    here = world(target())
    here.registry.native = True
    here.endpoints.find = nothing  # type: ignore[method-assign]
    await here.request("PUT", "/i", {"mappings": MAPPINGS})
    assert len(here.upstream.handed) == 1


async def nothing(inference_id: str) -> None:
    """Nobody has such an endpoint."""


@pytest.mark.parametrize(
    "settings",
    [
        {LEGACY: True},
        {LEGACY.removeprefix("index."): "true"},
        {"index": {"mapping": {"semantic_text.use_legacy_format": True}}},
    ],
)
async def test_the_format_of_before_is_refused(settings: Any):
    body = {"settings": settings, "mappings": MAPPINGS}
    with pytest.raises(IllegalArgument, match="is not supported, only the format that replaced"):
        await world(target()).request("PUT", "/i", body)


async def test_errors_of_templates_are_told_as_by_elasticsearch():
    wrong = {"template": {"mappings": {"properties": {"a": {**FIELD, "boost": 1}}}}}
    with pytest.raises(IllegalArgument) as caught:
        await world(target()).request("PUT", "/_index_template/t", wrong)
    shown = caught.value.render()
    assert shown["reason"] == "composable template [t] template after composition is invalid"
    assert shown["caused_by"]["reason"] == "invalid composite mappings for [t]"
    assert "unknown parameter [boost]" in str(shown["caused_by"]["caused_by"])


async def test_a_refusal_speaks_of_the_users_fields():
    refused = Answer({"error": {"reason": "[xinf.a.chunks]"}, "status": 400}, 400)
    answer = await world(target(), refused).answer("PUT", "/i", {"mappings": MAPPINGS})
    assert answer.status == 400
    assert b"xinf" not in answer.body  # type: ignore[attr-defined]


async def test_a_simulation_shows_what_would_be_declared():
    below = layout.container({"a": layout.field_mapping(FIELD, None)})
    shown = {"properties": {"a": layout.PLACEHOLDER, "xinf": below}}
    here = world(target(), {"template": {"mappings": shown}})
    answer = await here.request("POST", "/_index_template/_simulate/t")
    assert answer == {"template": {"mappings": {"properties": {"a": FIELD}}}}


async def test_a_definition_that_another_proxy_changes_is_put_again():
    overtaken = Answer(
        {"error": "Mapper for [xinf.a.def2] conflicts with existing mapper: [null_value]"}, 400
    )
    here = world(target(), {}, overtaken, {}, {"acknowledged": True})
    answer = await here.request("PUT", "/i/_mapping", MAPPINGS)
    assert answer == {"acknowledged": True}
    assert [one.method for one in here.upstream.asked] == ["GET", "PUT"] * 2


@pytest.mark.parametrize(
    ("place", "body", "mapping", "settings"),
    [
        (Place(), {"mappings": {"a": 1}, "settings": 2}, {"a": 1}, 2),
        (Place(), {"mappings": []}, None, None),
        (Place(("template",)), {"template": {"mappings": {}, "settings": 2}}, {}, 2),
        (Place(("template",)), {"template": None}, None, None),
        (Place(is_mapping=True), {"a": 1}, {"a": 1}, None),
        (Place(), [], None, None),
        (Place(is_mapping=True), None, None, None),
    ],
)
def test_where_mappings_and_settings_stand(place: Place, body: Any, mapping: Any, settings: Any):
    assert place.mapping(body) == mapping
    assert place.settings(body) == settings
