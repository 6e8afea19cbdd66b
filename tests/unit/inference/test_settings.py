from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.inference.chunking import ChunkingSettings
from proxy.inference.endpoints import ELSER_SERVICE, SERVICE, TaskType
from proxy.inference.settings import parse_endpoint
from tests.support.samples import TASKS, TOKEN, json_objects, json_values, refusal_of

GOOD = {"url": "http://h/", "api_key": TOKEN}


def put(task: TaskType, settings: Any = None, service: str = SERVICE, **body: Any):
    body = {"service_settings": GOOD if settings is None else settings, **body}
    return parse_endpoint(task, "e1", service, body)


def reason_of(task: TaskType, settings: Any = None, **body: Any) -> str:
    error = refusal_of(lambda: put(task, settings, **body))
    assert error is not None
    assert error.status == 400
    return error.reason


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
        whole = {"service_settings": {**GOOD, **settings}, **body}
        error = refusal_of(lambda: parse_endpoint(task, "e1", SERVICE, whole))
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
