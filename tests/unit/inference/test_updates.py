from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given

from proxy.ground.errors import ValidationFailed
from proxy.inference.chunking import parse_chunking
from proxy.inference.endpoints import SecretSettings, TaskSettings, TaskType
from proxy.inference.releases import PROFILES
from proxy.inference.updates import parse_update
from tests.support.samples import PROFILE, TOKEN, json_objects, make_endpoint, refusal_of


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
                {"chunking_settings": {"strategy": "none"}},
                "Request contained fields which cannot be updated, remove these fields and try "
                "again [{chunking_settings={strategy=none}}]",
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
        error = refusal_of(lambda: parse_update(body, PROFILE.update))
        assert error is not None
        assert (error.status, error.type, error.reason) == (400, "status_exception", reason)

    def test_changes_the_token(self):
        update = parse_update(
            {"service_settings": {"api_key": "new", "url": "ignored"}}, PROFILE.update
        )
        changed = update.apply(make_endpoint())
        assert changed == replace(make_endpoint(), secret_settings=SecretSettings(api_key="new"))

    def test_empty_service_settings_change_nothing(self):
        assert (
            parse_update({"service_settings": {}}, PROFILE.update).apply(make_endpoint())
            == make_endpoint()
        )

    def test_service_settings_need_a_token(self):
        update = parse_update({"service_settings": {"url": "http://h/"}}, PROFILE.update)
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
        changed = parse_update({"service_settings": settings}, PROFILE.update).apply(old)
        assert changed.service_settings.requests_per_minute == 3000
        assert changed.service_settings.max_input_tokens == 7

    def test_chunking_settings_are_replaced_as_a_whole(self):
        rules = PROFILES["9.5"].update
        update = parse_update({"chunking_settings": {"strategy": "none"}}, rules)
        assert update.apply(make_endpoint()).chunking_settings == parse_chunking(
            {"strategy": "none"}
        )
        assert update.apply(make_endpoint(TaskType.RERANK)).chunking_settings is None

    def test_task_settings_are_merged(self):
        old = make_endpoint(TaskType.RERANK, task_settings=TaskSettings(top_n=3))
        update = parse_update({"task_settings": {"return_documents": False}}, PROFILE.update)
        assert update.apply(old).task_settings == TaskSettings(top_n=3, return_documents=False)
        update = parse_update({"task_settings": {"top_n": 5}}, PROFILE.update)
        assert update.apply(old).task_settings == TaskSettings(top_n=5)

    def test_bad_task_settings_are_refused(self):
        update = parse_update({"task_settings": {"top_n": 0}}, PROFILE.update)
        error = refusal_of(lambda: update.apply(make_endpoint(TaskType.RERANK)))
        assert isinstance(error, ValidationFailed)

    @given(json_objects)
    def test_any_body_is_an_update_or_refused(self, body):
        error = refusal_of(
            lambda: parse_update(body, PROFILE.update).apply(make_endpoint(TaskType.RERANK))
        )
        assert error is None or error.status == 400


class TestSettingsWithoutEffect:
    @pytest.mark.parametrize(
        ("task", "body", "ignored"),
        [
            ("completion", {"service_settings": {"rate_limit": {}}}, []),
            ("completion", {"service_settings": {"url": "http://h/"}}, ["service_settings.url"]),
            ("completion", {"service_settings": {"url": "http://provider.test/"}}, []),
            ("completion", {"service_settings": {"url": None}}, ["service_settings.url"]),
            ("completion", {"service_settings": {"model_id": None}}, []),
            (
                "completion",
                {"service_settings": {"max_input_tokens": 9}},
                ["service_settings.max_input_tokens"],
            ),
            ("text_embedding", {"service_settings": {"max_input_tokens": 9}}, []),
            (
                "text_embedding",
                {"service_settings": {"dimensions": 9, "similarity": "cosine", "model_id": "m"}},
                [f"service_settings.{name}" for name in ("dimensions", "similarity", "model_id")],
            ),
            ("rerank", {"task_settings": {"top_n": 2, "topn": 2}}, ["task_settings.topn"]),
            ("completion", {"task_settings": {"top_n": 2}}, ["task_settings.top_n"]),
            ("text_embedding", {"chunking_settings": {"strategy": "none"}}, []),
            (
                "rerank",
                {"chunking_settings": {"strategy": "none"}},
                ["chunking_settings.strategy"],
            ),
            ("completion", {"service_settings": {TOKEN: 1}}, ["service_settings.********"]),
        ],
    )
    def test_those_that_would_change_something_are_named(self, task, body, ignored):
        for release in ("9.2", "9.5"):
            rules = PROFILES[release].update
            if release == "9.2":
                if "chunking_settings" in body or None in body.get("service_settings", {}).values():
                    continue  # refused
                body = {name: {**settings} for name, settings in body.items()}
                body.get("service_settings", {})["api_key"] = "new"
            update = parse_update(body, rules)
            changed = update.apply(make_endpoint(TaskType(task)))
            assert update.without_effect(changed) == ignored


class TestTokensInWrongPlaces:
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
        error = refusal_of(lambda: parse_update(body, PROFILE.update))
        assert error is not None
        assert TOKEN not in json.dumps(error.envelope())
