"""Definitions of pipelines: taken apart, refused, and shown again."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.ground.errors import IllegalArgument, ParseFailed
from proxy.semantic.pipelines import (
    called,
    model_ids,
    read_pipeline,
    read_processor,
    shown,
    split,
)

OURS = {"embed"}.__contains__
SET: dict[str, Any] = {"set": {"field": "a", "value": 1}}


def infer(output: str = "vector", **more: Any) -> dict[str, Any]:
    pair = {"input_field": "body", "output_field": output}
    return {"inference": {"model_id": "embed", "input_output": [pair], **more}}


def apart(*processors: Any, **more: Any) -> tuple[int, int, int] | None:
    """How many processors are first, between, and last."""
    found = split({"processors": list(processors), **more}, OURS)
    return None if found is None else (len(found.before), len(found.rest), len(found.after))


@pytest.mark.parametrize(
    ("processors", "expected"),
    [
        ([SET], None),
        ([], None),
        ([infer()], (1, 0, 0)),
        ([infer(), infer("b")], (2, 0, 0)),
        ([infer(), SET], (1, 1, 0)),
        ([SET, infer(), infer("b")], (0, 1, 2)),
        ([infer(), SET, infer("b")], (1, 1, 1)),
        ([{"inference": {"model_id": "theirs"}}, SET], None),
        ([{"inference": {"model_id": "theirs"}}, infer()], (0, 1, 1)),
    ],
)
def test_processors_of_ours_are_first_or_last(processors, expected):
    assert apart(*processors) == expected


@pytest.mark.parametrize(
    "processors",
    [
        [SET, infer(), SET],
        [{"foreach": {"field": "a", "processor": infer()}}],
        [{"set": {"field": "a", "value": 1, "on_failure": [infer()]}}],
        [infer(on_failure=[infer("b")])],
    ],
)
def test_processors_of_ours_elsewhere_are_refused(processors):
    with pytest.raises(IllegalArgument, match="the first or the last processors"):
        apart(*processors)
    with pytest.raises(IllegalArgument, match="the first or the last processors"):
        apart(SET, on_failure=[infer()])


@pytest.mark.parametrize(
    ("definition", "reason"),
    [
        ({"processors": [infer(**{"if": "ctx.a != null"})]}, r"\[if\] is not possible"),
        ({"processors": [SET, infer()], "on_failure": [SET]}, r"\[on_failure\] of a pipeline"),
        ({"processors": [{"set_security_user": {}}, infer()]}, r"\[set_security_user\]"),
        ({"processors": [infer("_ingest.x")]}, r"\[_ingest.x\] is not possible"),
        ({"processors": [infer("_id")]}, r"\[_id\] is not possible"),
    ],
)
def test_what_the_proxy_cannot_run_is_refused(definition, reason):
    with pytest.raises(IllegalArgument, match=reason):
        split(definition, OURS)


PAIR = {"input_field": "a", "output_field": "b"}


@pytest.mark.parametrize(
    ("config", "reason", "name"),
    [
        ({}, "[model_id] required property is missing", "model_id"),
        (
            {"model_id": 1},
            "[model_id] property isn't a string, but of type [java.lang.Integer]",
            "model_id",
        ),
        (
            {"model_id": "m", "input_output": []},
            "[input_output] property cannot be empty at least one is required",
            "input_output",
        ),
        (
            {"model_id": "m", "input_output": "a"},
            "[input_output] property isn't a map or list of maps",
            "input_output",
        ),
        (
            {"model_id": "m", "input_output": {"input_field": "a"}},
            "[output_field] required property is missing",
            "output_field",
        ),
        (
            {"model_id": "m", "input_output": [PAIR, {**PAIR, "input_field": "c"}]},
            "[output_field] names must be unique but [b] is repeated",
            "output_field",
        ),
        (
            {"model_id": "m", "input_output": PAIR, "target_field": "t"},
            "[target_field] option is incompatible with [input_output]. Use the [output_field] "
            "option to specify where to write the inference results to.",
            "target_field",
        ),
        (
            {
                "model_id": "m",
                "input_output": PAIR,
                "inference_config": {"text_embedding": {"results_field": "r"}},
            },
            "The [inference_config.results_field] setting is incompatible with using "
            "[input_output]. Prefer to use the [input_output.output_field] option to specify "
            "where to write the inference results to.",
            None,
        ),
        (
            {"model_id": "m", "input_output": PAIR, "ignore_missing": "true"},
            "[ignore_missing] property isn't a boolean, but of type [java.lang.String]",
            "ignore_missing",
        ),
        (
            {"model_id": "m", "on_failure": []},
            "[on_failure] processors list cannot be empty",
            "on_failure",
        ),
        (
            {"model_id": "m", "zz": 1},
            "processor [inference] doesn't support one or more provided configuration parameters "
            "[zz]",
            None,
        ),
    ],
)
def test_wrong_options_are_told_as_by_elasticsearch(config, reason, name):
    with pytest.raises(ParseFailed) as raised:
        read_processor({"inference": {**config, "tag": "t"}})
    assert raised.value.reason == reason
    names = {} if name is None else {"property_name": name}
    assert raised.value.extra == {**names, "processor_type": "inference", "processor_tag": "t"}


def test_a_pipeline_is_shown_as_it_was_put_and_read_from_what_is_stored():
    definition = {
        "description": "d",
        "_meta": {"mine": 1},
        "processors": [infer("x"), SET, infer("y", ignore_failure=True)],
    }
    found = split(definition, OURS)
    assert found is not None
    stored = found.stored(definition)
    assert stored["processors"] == [SET]
    assert stored["_meta"].keys() == {"mine", "xinf"}
    assert shown(stored) == definition
    pipeline = read_pipeline("p", stored)
    assert pipeline is not None
    assert (len(pipeline.before), pipeline.after[0].ignore_failure) == (1, True)


def test_a_pipeline_without_meta_is_shown_without():
    definition = {"processors": [infer()]}
    found = split(definition, OURS)
    assert found is not None
    assert shown(found.stored(definition)) == definition
    assert shown({"description": "of a summary"}) == {"description": "of a summary"}


@pytest.mark.parametrize(
    "kept", [{}, {"before": 1, "after": []}, {"before": [{"inference": {}}], "after": []}, [], "x"]
)
def test_what_somebody_else_has_changed_is_not_believed(kept):
    assert read_pipeline("p", {"_meta": {"xinf": kept}}) is None


def test_models_and_called_pipelines_are_found_wherever_they_stand():
    definition = {
        "processors": [
            infer(on_failure=[{"pipeline": {"name": "a"}}]),
            {"foreach": {"processor": {"pipeline": {"name": "b"}}}},
        ]
    }
    assert list(model_ids(definition)) == ["embed"]
    assert called(definition) == {"a", "b"}


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (
            {"_meta": "x"},
            "[_meta] property isn't a map, but of type [java.lang.String]",
        ),
        (
            {"on_failure": 5},
            "[on_failure] property isn't a list, but of type [java.lang.Integer]",
        ),
        (
            {"on_failure": SET},
            "[on_failure] property isn't a list, but of type [java.util.HashMap]",
        ),
    ],
)
def test_wrong_parts_of_a_pipeline_are_told_as_by_elasticsearch(more, reason):
    with pytest.raises(ParseFailed) as raised:
        split({"processors": [infer()], **more}, OURS)
    assert raised.value.reason == reason
    assert raised.value.extra == {"property_name": next(iter(more))}
