from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import ActionRequestInvalid, ValidationFailed
from proxy.inference.chunking import ChunkingSettings, parse_chunking
from proxy.inference.dumping import dump_endpoint, load_endpoint
from proxy.inference.endpoints import (
    ELSER_SERVICE,
    SERVICE,
    InferenceEndpoint,
    SecretSettings,
    ServiceSettings,
    TaskSettings,
    TaskType,
)
from proxy.inference.ids import check_inference_id
from proxy.inference.releases import DEFAULT, PROFILES
from proxy.inference.rendering import render_endpoint
from proxy.inference.settings import parse_endpoint
from proxy.inference.tasktypes import parse_task_type, resolve_task_type
from proxy.inference.updates import parse_update
from tests.support.samples import TASKS, TOKEN, json_objects, json_values, make_endpoint, refusal_of

GOOD = {"url": "http://h/", "api_key": TOKEN}


def put(task: TaskType, settings: Any = None, service: str = SERVICE, **body: Any):
    body = {"service_settings": GOOD if settings is None else settings, **body}
    return parse_endpoint(task, "e1", service, body)


def reason_of(task: TaskType, settings: Any = None, **body: Any) -> str:
    error = refusal_of(lambda: put(task, settings, **body))
    assert error is not None
    assert error.status == 400
    return error.reason


class TestIds:
    @pytest.mark.parametrize("name", ["a", "0", "a-b_c.d", "any", "a" * 300, "text_embedding"])
    def test_good_ids(self, name):
        check_inference_id(name)

    @pytest.mark.parametrize(
        "name", ["", "A", "aB", "-a", "a-", ".a", "a.", "_all", "_", "a b", "a/b", "ä", "a\n", "*"]
    )
    def test_bad_ids(self, name):
        error = refusal_of(lambda: check_inference_id(name))
        assert isinstance(error, ActionRequestInvalid)
        assert error.reason == (
            f"Validation Failed: 1: Invalid inference_id; '{name}' can contain lowercase "
            "alphanumeric (a-z and 0-9), hyphens or underscores; must start and end with "
            "alphanumeric;"
        )


class TestTaskTypes:
    @pytest.mark.parametrize("text", [" Rerank ", "RERANK", "rerank"])
    def test_are_trimmed_and_of_any_letter_case(self, text):
        assert parse_task_type(text) is TaskType.RERANK

    @pytest.mark.parametrize("text", ["", "foo", "text embedding"])
    def test_unknown_ones_are_named_as_they_came(self, text):
        error = refusal_of(lambda: parse_task_type(text))
        assert error is not None
        assert (error.type, error.reason) == ("status_exception", f"Unknown task_type [{text}]")

    @pytest.mark.parametrize(
        ("path", "body", "task"),
        [
            ("any", "rerank", "rerank"),
            ("any", " Rerank", "rerank"),
            ("rerank", None, "rerank"),
            ("rerank", "RERANK", "rerank"),
            ("rerank", "any", "rerank"),
        ],
    )
    def test_path_and_body_may_both_name_one(self, path, body, task):
        assert resolve_task_type(TaskType(path), body) == task

    @pytest.mark.parametrize(
        ("path", "body", "reason"),
        [
            ("any", None, "model is missing required setting [task_type]"),
            ("any", "any", "task_type [any] is not valid type for inference"),
            ("any", "foo", "Unknown task_type [foo]"),
            ("any", "", "Unknown task_type []"),
            ("rerank", "foo", "Unknown task_type [foo]"),
            (
                "rerank",
                "Completion",
                "Cannot resolve conflicting task_type parameter in the request URL [rerank] and "
                "the request body [Completion]",
            ),
        ],
    )
    def test_but_not_two_or_none(self, path, body, reason):
        error = refusal_of(lambda: resolve_task_type(TaskType(path), body))
        assert error is not None
        assert (error.status, error.type, error.reason) == (400, "status_exception", reason)

    @pytest.mark.parametrize("body", [5, 1.5, True, ["rerank"], {"a": 1}])
    def test_a_task_type_of_the_wrong_type_is_the_callers_mistake(self, body):
        error = refusal_of(lambda: resolve_task_type(TaskType.ANY, body))
        assert error is not None
        assert (error.status, error.type) == (400, "illegal_argument_exception")
        assert "[task_type]" in error.reason


class TestPut:
    @pytest.mark.parametrize("task", TASKS)
    def test_each_task_needs_url_and_token_only(self, task):
        endpoint = put(task)
        assert endpoint.service_settings.url == "http://h/"
        assert endpoint.secret_settings.api_key == TOKEN
        assert endpoint.service_settings.requests_per_minute == 3000

    @pytest.mark.parametrize("task", TASKS)
    def test_each_task_takes_null_for_what_is_optional(self, task):
        nulls = {"rate_limit": None, "similarity": None, "model_id": None}
        if task is not TaskType.TEXT_EMBEDDING:
            del nulls["similarity"]
        if task not in (TaskType.COMPLETION, TaskType.CHAT_COMPLETION):
            del nulls["model_id"]
        assert put(task, {**GOOD, **nulls}, task_settings=None) == put(task)

    @pytest.mark.parametrize(
        ("task", "key"),
        [
            (TaskType.TEXT_EMBEDDING, "model_id"),
            (TaskType.RERANK, "model_id"),
            (TaskType.SPARSE_EMBEDDING, "max_input_tokens"),
            (TaskType.COMPLETION, "dimensions"),
            (TaskType.CHAT_COMPLETION, "similarity"),
        ],
    )
    def test_settings_of_another_task_are_unknown(self, task, key):
        assert reason_of(task, {**GOOD, key: "x"}) == (
            f"Configuration contains settings [{{{key}=x}}] unknown to the [hugging_face] service"
        )

    def test_every_bad_setting_is_named_in_order(self):
        settings = {
            "rate_limit": {"requests_per_minute": 0},
            "max_input_tokens": 0,
            "dimensions": "x",
            "similarity": "by_size",
            "url": "",
        }
        reason = reason_of(TaskType.TEXT_EMBEDDING, settings)
        names = ["[url]", "[similarity]", "[dimensions]", "[max_input_tokens]"]
        places = [reason.index(name) for name in [*names, "[requests_per_minute]"]]
        assert places == sorted(places)
        assert "5: [rate_limit]" in reason

    def test_the_model_comes_before_the_url_in_completions(self):
        reason = reason_of(TaskType.COMPLETION, {"model_id": ""})
        assert reason.index("[model_id]") < reason.index("[url]")

    def test_a_missing_url_hides_a_missing_token(self):
        reason = reason_of(TaskType.RERANK, {})
        assert reason == (
            "Validation Failed: 1: [service_settings] does not contain the required setting [url];"
        )
        assert "[api_key]" in reason_of(TaskType.RERANK, {"url": "http://h/"})

    def test_bad_task_settings_hide_a_missing_token(self):
        reason = reason_of(TaskType.RERANK, {"url": "http://h/"}, task_settings={"top_n": 0})
        assert "[task_settings] Invalid value [0]. [top_n] must be a positive integer" in reason
        assert "api_key" not in reason

    def test_unknown_keys_of_the_rate_limit_win_over_everything_collected(self):
        reason = reason_of(TaskType.RERANK, {"rate_limit": {"per_day": 1}})
        assert reason.startswith("Configuration contains settings [{per_day=1}]")

    def test_unknown_keys_are_told_level_by_level(self):
        body: dict[str, Any] = {"settings": {**GOOD, "b": 1}, "a": 1, "task_settings": {"c": 1}}
        assert "[{a=1}]" in reason_of(TaskType.RERANK, **body)
        del body["a"]
        assert "[{b=1}]" in reason_of(TaskType.RERANK, **body)
        body["settings"] = GOOD
        assert "[{c=1}]" in reason_of(TaskType.RERANK, **body)

    @pytest.mark.parametrize("task", [task for task in TASKS if task is not TaskType.RERANK])
    def test_only_rerank_has_task_settings(self, task):
        assert "[{top_n=1}]" in reason_of(task, task_settings={"top_n": 1})
        assert put(task, task_settings={}) == put(task)

    def test_only_text_embedding_has_chunking_settings(self):
        chunking = {"strategy": "none"}
        endpoint = put(TaskType.TEXT_EMBEDDING, chunking_settings=chunking)
        assert endpoint.chunking_settings is not None
        assert put(TaskType.TEXT_EMBEDDING).chunking_settings == ChunkingSettings()
        assert reason_of(TaskType.RERANK, chunking_settings=chunking) == (
            "Configuration contains settings [{chunking_settings={strategy=none}}] unknown to the "
            "[hugging_face] service"
        )

    def test_chunking_settings_are_judged_before_the_others(self):
        reason = reason_of(TaskType.TEXT_EMBEDDING, {}, chunking_settings={"strategy": "x"})
        assert reason == "Invalid chunkingStrategy x"

    @pytest.mark.parametrize("body", [{}, {"service_settings": None}])
    def test_service_settings_must_be_there(self, body):
        error = refusal_of(lambda: parse_endpoint(TaskType.RERANK, "e1", SERVICE, body))
        assert error is not None
        assert error.reason == "Missing required field [service_settings]"

    @pytest.mark.parametrize("name", ["service_settings", "task_settings", "chunking_settings"])
    @pytest.mark.parametrize("value", ["x", 1, [], True])
    def test_settings_are_objects(self, name, value):
        body = {"service_settings": GOOD, name: value}
        error = refusal_of(lambda: parse_endpoint(TaskType.TEXT_EMBEDDING, "e1", SERVICE, body))
        assert error is not None
        assert (error.status, error.type) == (400, "illegal_argument_exception")
        assert f"field [{name}]" in error.reason

    def test_the_old_service_serves_sparse_embeddings_only(self):
        assert put(TaskType.SPARSE_EMBEDDING, service=ELSER_SERVICE).service == ELSER_SERVICE
        assert reason_of(TaskType.RERANK, service=ELSER_SERVICE) == (
            "The [hugging_face_elser] service does not support task type [rerank]"
        )
        assert "unknown to the [hugging_face_elser] service" in reason_of(
            TaskType.SPARSE_EMBEDDING, service=ELSER_SERVICE, a=1
        )

    def test_sparse_embeddings_read_512_tokens(self):
        assert put(TaskType.SPARSE_EMBEDDING).service_settings.max_input_tokens == 512

    def test_a_bad_url_is_told_with_its_reason(self):
        assert reason_of(TaskType.RERANK, {**GOOD, "url": "http://a b"}) == (
            "Validation Failed: 1: [service_settings] Invalid url [http://a b] received for field "
            "[url]. Error: unable to parse url [http://a b]. Reason: Illegal character in "
            "authority;"
        )

    @pytest.mark.parametrize("value", ["", 5, True, ["x"], "a\nb", "tökén", "a\x7f"])
    def test_a_bad_token_is_refused_and_never_quoted(self, value):
        reason = reason_of(TaskType.RERANK, {**GOOD, "api_key": value})
        assert "[api_key]" in reason
        for text in ("tökén", "a\nb", "x]"):
            assert text not in reason

    @given(st.sampled_from(TASKS), json_objects, json_objects)
    def test_any_body_is_an_endpoint_or_refused(self, task, settings, body):
        error = refusal_of(lambda: put(task, {**GOOD, **settings}, **body))
        assert error is None or error.status == 400

    @given(
        st.sampled_from(TASKS),
        st.dictionaries(
            st.sampled_from(
                ("url", "api_key", "similarity", "dimensions", "model_id", "rate_limit")
            ),
            json_values,
        ),
    )
    def test_any_value_of_a_known_setting_is_taken_or_refused(self, task, settings):
        error = refusal_of(lambda: put(task, {**GOOD, **settings}))
        assert error is None or error.status == 400


class TestTokensInWrongPlaces:
    @pytest.mark.parametrize(
        "body",
        [
            {"service_settings": {"url": "http://h/"}, "api_key": TOKEN},
            {"service_settings": GOOD, "api_key": TOKEN},
            {"service_settings": GOOD, "secret_settings": {"api_key": TOKEN}},
            {"service_settings": GOOD, "task_settings": {"api_key": TOKEN}},
            {"service_settings": {**GOOD, "rate_limit": {"api_key": TOKEN}}},
            {"service_settings": {**GOOD, "api_key": [TOKEN]}},
            {"service_settings": {**GOOD, "api_key": {"value": TOKEN}}},
            {"service_settings": [{"api_key": TOKEN}]},
            {"service_settings": GOOD, "chunking_settings": {"strategy": {"api_key": TOKEN}}},
            {"service_settings": {**GOOD, "url": {"api_key": TOKEN}}},
            {"service_settings": {**GOOD, "url": TOKEN}},
            {"service_settings": {**GOOD, "url": f"http://me:{TOKEN}@h/"}},
            {"service_settings": {**GOOD, "apikey": TOKEN}},
            {"service_settings": {**GOOD, "token": [{"value": TOKEN}]}},
            {"service_settings": {**GOOD, TOKEN: 1}},
            {"service_settings": {**GOOD, "rate_limit": {TOKEN: 1}}},
            {"service_settings": {**GOOD, "rate_limit": TOKEN}},
            {"service_settings": {**GOOD, "dimensions": TOKEN}, "task_settings": {"top_n": TOKEN}},
            {"service_settings": GOOD, "headers": {"Authorization": f"Bearer {TOKEN}"}},
            {"service_settings": GOOD, "task_settings": TOKEN},
            {"service_settings": GOOD, "chunking_settings": {"strategy": TOKEN}},
            {"service_settings": GOOD, "chunking_settings": {"strategy": "word", TOKEN: 1}},
            {"service_settings": TOKEN},
        ],
    )
    @pytest.mark.parametrize("task", [TaskType.TEXT_EMBEDDING, TaskType.RERANK])
    def test_a_put_never_shows_them(self, task, body):
        error = refusal_of(lambda: parse_endpoint(task, "e1", SERVICE, body))
        assert error is not None
        assert TOKEN not in json.dumps(error.envelope())

    @pytest.mark.parametrize(
        "body",
        [
            {"api_key": TOKEN},
            {"service_settings": {"api_key": TOKEN, "x": None}},
            {"service_settings": {"api_key": TOKEN}, "service": "x"},
            {"task_settings": {"api_key": TOKEN, "x": None}},
            {"task_type": {"api_key": TOKEN}},
            {"service_settings": [{"api_key": TOKEN}]},
            {"service_settings": TOKEN},
            {"service_settings": {TOKEN: None}},
            {"task_type": TOKEN},
            {"token": TOKEN},
            {TOKEN: 1},
        ],
    )
    def test_an_update_never_shows_them(self, body):
        error = refusal_of(lambda: parse_update(body, DEFAULT.update))
        assert error is not None
        assert TOKEN not in json.dumps(error.envelope())

    def test_a_printed_endpoint_does_not_hold_it(self):
        endpoint = make_endpoint()
        for text in (repr(endpoint), str(endpoint), f"{endpoint.secret_settings}"):
            assert TOKEN not in text
        assert TOKEN not in json.dumps(render_endpoint(endpoint))


class TestUpdate:
    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            ({}, "Request body is empty"),
            (
                {"service_settings": None},
                "Unable to parse service settings in the request [{service_settings=null}]",
            ),
            (
                {"service_settings": "x"},
                "Unable to parse service settings in the request [{service_settings=x}]",
            ),
            (
                {"task_settings": 1},
                "Unable to parse task settings in the request [{task_settings=1}]",
            ),
            (
                {"task_settings": {"top_n": None}},
                "Failed to parse update request [{task_settings={top_n=null}}]",
            ),
            (
                {"task_type": 5},
                "Failed to parse [task_type] in update request [{task_type=5}]",
            ),
            (
                {"task_type": None},
                "Failed to parse [task_type] in update request [{task_type=null}]",
            ),
            (
                {"foo": 1},
                "Request contained fields which cannot be updated, remove these fields and try "
                "again [{foo=1}]",
            ),
            (
                {"task_type": "foo", "service_settings": 5},
                "Unknown task_type [foo]",
            ),
            (
                {"task_type": "rerank", "service_settings": {}, "task_settings": 5, "x": 1},
                "Unable to parse task settings in the request [{task_settings=5, x=1}]",
            ),
            (
                {"task_type": "rerank", "service": {}},
                "Request contained fields which cannot be updated, remove these fields and try "
                "again [{service={}}]",
            ),
        ],
    )
    def test_refuses_what_cannot_be_updated(self, body, reason):
        error = refusal_of(lambda: parse_update(body, DEFAULT.update))
        assert error is not None
        assert (error.status, error.type, error.reason) == (400, "status_exception", reason)

    def test_changes_the_token(self):
        update = parse_update(
            {"service_settings": {"api_key": "new", "url": "ignored"}}, DEFAULT.update
        )
        changed = update.apply(make_endpoint())
        assert changed == replace(make_endpoint(), secret_settings=SecretSettings(api_key="new"))

    def test_empty_service_settings_change_nothing(self):
        assert (
            parse_update({"service_settings": {}}, DEFAULT.update).apply(make_endpoint())
            == make_endpoint()
        )

    def test_service_settings_need_a_token(self):
        update = parse_update({"service_settings": {"url": "http://h/"}}, DEFAULT.update)
        error = refusal_of(lambda: update.apply(make_endpoint()))
        assert isinstance(error, ValidationFailed)
        assert "does not contain the required setting [api_key]" in error.reason

    def test_newer_releases_change_other_settings_without_one(self):
        body = {"service_settings": {"rate_limit": {"requests_per_minute": 9}}}
        changed = parse_update(body, PROFILES["9.5"].update).apply(make_endpoint())
        assert changed == make_endpoint().with_service_settings(requests_per_minute=9)

    def test_other_settings_change_beside_a_token(self):
        settings = {"api_key": "new", "rate_limit": {}, "max_input_tokens": 7}
        old = make_endpoint().with_service_settings(requests_per_minute=9)
        changed = parse_update({"service_settings": settings}, DEFAULT.update).apply(old)
        assert changed.service_settings.requests_per_minute == 3000
        assert changed.service_settings.max_input_tokens == 7

    def test_chunking_settings_are_replaced_as_a_whole(self):
        update = parse_update({"chunking_settings": {"strategy": "none"}}, DEFAULT.update)
        assert update.apply(make_endpoint()).chunking_settings == parse_chunking(
            {"strategy": "none"}
        )
        assert update.apply(make_endpoint(TaskType.RERANK)).chunking_settings is None

    def test_task_settings_are_merged(self):
        old = make_endpoint(TaskType.RERANK, task_settings=TaskSettings(top_n=3))
        update = parse_update({"task_settings": {"return_documents": False}}, DEFAULT.update)
        assert update.apply(old).task_settings == TaskSettings(top_n=3, return_documents=False)
        update = parse_update({"task_settings": {"top_n": 5}}, DEFAULT.update)
        assert update.apply(old).task_settings == TaskSettings(top_n=5)

    def test_bad_task_settings_are_refused(self):
        update = parse_update({"task_settings": {"top_n": 0}}, DEFAULT.update)
        error = refusal_of(lambda: update.apply(make_endpoint(TaskType.RERANK)))
        assert isinstance(error, ValidationFailed)

    @given(json_objects)
    def test_any_body_is_an_update_or_refused(self, body):
        error = refusal_of(
            lambda: parse_update(body, DEFAULT.update).apply(make_endpoint(TaskType.RERANK))
        )
        assert error is None or error.status == 400


class TestShowing:
    def test_keys_stand_in_elasticsearchs_order(self):
        endpoint = replace(
            put(
                TaskType.TEXT_EMBEDDING,
                {**GOOD, "max_input_tokens": 5, "dimensions": 3, "similarity": "l2_norm"},
            )
        )
        assert json.dumps(render_endpoint(endpoint)) == json.dumps(
            {
                "inference_id": "e1",
                "task_type": "text_embedding",
                "service": "hugging_face",
                "service_settings": {
                    "url": "http://h/",
                    "similarity": "l2_norm",
                    "dimensions": 3,
                    "max_input_tokens": 5,
                    "rate_limit": {"requests_per_minute": 3000},
                },
                "chunking_settings": {
                    "strategy": "sentence",
                    "max_chunk_size": 250,
                    "sentence_overlap": 1,
                },
            }
        )

    def test_task_settings_are_shown_where_there_are_some(self):
        assert "task_settings" not in render_endpoint(put(TaskType.RERANK))
        shown = render_endpoint(
            put(TaskType.RERANK, task_settings={"return_documents": False, "top_n": 2})
        )
        assert list(shown["task_settings"].items()) == [("top_n", 2), ("return_documents", False)]

    def test_a_model_comes_before_the_url(self):
        shown = render_endpoint(put(TaskType.COMPLETION, {**GOOD, "model_id": "m"}))
        assert list(shown["service_settings"]) == ["model_id", "url", "rate_limit"]


endpoints = st.builds(
    InferenceEndpoint,
    inference_id=st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True),
    task_type=st.sampled_from(TASKS),
    service=st.sampled_from((SERVICE, ELSER_SERVICE)),
    service_settings=st.builds(
        ServiceSettings,
        url=st.just("http://h/ü"),
        model_id=st.none() | st.text(max_size=5),
        similarity=st.none() | st.sampled_from(("cosine", "l2_norm")),
        dimensions=st.none() | st.integers(1, 5000),
        max_input_tokens=st.none() | st.integers(1, 5000),
        requests_per_minute=st.integers(1, 2**63 - 1),
    ),
    secret_settings=st.builds(SecretSettings, api_key=st.text(min_size=1, max_size=5)),
    task_settings=st.builds(
        TaskSettings,
        top_n=st.none() | st.integers(1, 9),
        return_documents=st.none() | st.booleans(),
    ),
    chunking_settings=st.none()
    | st.builds(
        ChunkingSettings,
        separators=st.none() | st.lists(st.text(max_size=3), min_size=1).map(tuple),
    ),
)


class TestStoring:
    @given(endpoints)
    def test_a_stored_endpoint_comes_back_as_it_was(self, endpoint):
        assert load_endpoint(json.loads(json.dumps(dump_endpoint(endpoint)))) == endpoint

    @given(endpoints, st.data())
    def test_a_document_that_lacks_a_key_is_none(self, endpoint, data):
        document = dump_endpoint(endpoint)
        del document[data.draw(st.sampled_from(sorted(document)))]
        with pytest.raises(KeyError):
            load_endpoint(document)

    @pytest.mark.parametrize(
        "changes",
        [
            {"task_type": "nope"},
            {"service_settings": {"nope": 1}},
            {"service_settings": None},
            {"secret_settings": {}},
            {"chunking_settings": {"separators": None, "nope": 1}},
        ],
    )
    def test_a_document_of_another_shape_is_none(self, changes):
        with pytest.raises((KeyError, TypeError, ValueError)):
            load_endpoint({**dump_endpoint(make_endpoint()), **changes})
