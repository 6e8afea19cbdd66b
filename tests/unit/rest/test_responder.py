from __future__ import annotations

import json

import cbor2
import pytest
import yaml

from proxy.ground.errors import ChatError, Rejected, StatusError
from proxy.rest.responder import EVENT, ErrorShape
from tests.support.requests import responder_of


def test_the_format_parameter_beats_accept_and_that_the_body():
    responder = responder_of("/x?format=YAML", {"Accept": "application/cbor"})
    answer = responder.document(200, {"a": 1})
    assert (answer.headers["content-type"], answer.body) == ("application/yaml", b"---\na: 1\n")
    responder = responder_of(headers={"Accept": "application/cbor"})
    assert cbor2.loads(responder.document(200, {"a": 1}).body) == {"a": 1}
    responder = responder_of(headers={"Content-Type": "application/yaml"})
    assert yaml.safe_load(responder.document(400, {"a": 1}).body) == {"a": 1}


@pytest.mark.parametrize("name", ["smile", "xml", ""])
def test_unknown_formats_are_ignored(name):
    assert responder_of(f"/x?format={name}").document(200, {}).body == b"{}"


def test_pretty_is_for_json():
    assert responder_of("/x?pretty").document(200, {"a": 1}).body == b'{\n  "a" : 1\n}\n'
    assert responder_of("/x?pretty=false").document(200, {"a": 1}).body == b'{"a":1}'
    assert responder_of("/x?pretty&format=yaml").document(200, {"a": 1}).body == b"---\na: 1\n"


def test_errors_are_not_filtered():
    responder = responder_of("/x?filter_path=a")
    assert json.loads(responder.document(200, {"a": 1, "b": 2}).body) == {"a": 1}
    assert json.loads(responder.document(400, {"a": 1, "b": 2}).body) == {"a": 1, "b": 2}
    assert responder.document(200, {"b": 2}).body == b"{}"


@pytest.mark.parametrize(
    ("status", "shown"),
    [(200, True), (400, True), (401, False), (403, False), (404, True), (503, True)],
)
def test_refused_callers_do_not_learn_the_products_name(status, shown):
    assert ("X-elastic-product" in responder_of().document(status, {}).headers) is shown


@pytest.mark.parametrize("value", ["abc", "", "ü"])
def test_the_callers_own_id_comes_back(value):
    responder = responder_of(headers={"X-Opaque-Id": value})
    for status in (200, 401, 403):
        assert responder.document(status, {}).headers["X-Opaque-Id"] == value


def test_a_trace_is_wished_by_the_parameter():
    assert responder_of("/x?error_trace").shows_traces
    assert not responder_of("/x").shows_traces
    assert not responder_of("/x?error_trace=maybe").shows_traces


class TestErrors:
    ERROR = StatusError(404, "no")
    AS_CHAT = ErrorShape(shown=lambda error: ChatError(418, "c", error.reason, "t"))

    def test_a_trace_is_shown_on_request_only(self):
        assert "stack_trace" not in responder_of().envelope(self.ERROR)["error"]
        trace = responder_of("/x?error_trace").envelope(self.ERROR)["error"]["stack_trace"]
        assert trace == "status_exception: no"

    def test_a_shape_changes_what_is_shown_but_neither_status_nor_headers(self):
        responder = responder_of().shaping(self.AS_CHAT)
        answer = responder.error(Rejected("full", "calls"))
        assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
        assert json.loads(answer.body) == {"error": {"code": "c", "message": "full", "type": "t"}}

    def test_an_error_may_be_an_event(self):
        responder = responder_of().shaping(EVENT)
        answer = responder.error(self.ERROR)
        assert answer.status == 404
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.body == responder.error_event(self.ERROR)
        assert answer.body.startswith(b'event: error\ndata: {"error":{')

    def test_events_are_filtered_and_pretty_as_documents_are(self):
        responder = responder_of("/x?filter_path=a&pretty")
        assert responder.event({"a": 1, "b": 2}) == (b'event: message\ndata: {\n  "a" : 1\n}\n\n\n')
