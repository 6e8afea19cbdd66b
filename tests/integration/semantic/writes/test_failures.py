"""What fails does so alone, and nothing is stored without its vectors."""

from __future__ import annotations

import threading
from typing import Any

import orjson
import pytest

from tests.integration.semantic.writes.site import Site, lines, semantic
from tests.support.rawhttp import send

PREFIX = "wf-"  # of the names that only these tests use


def _statuses(answer: Any) -> list[int]:
    return [one["status"] for item in answer["items"] for one in item.values()]


def test_one_bad_text_among_a_thousand(site: Site) -> None:
    site.make("wf-a")
    items: list[Any] = []
    for number in range(1000):
        text = "BOOM" if number == 617 else f"text {number}"
        items += [{"index": {"_id": str(number)}}, {"body": text}]
    answer = site.bulk(*items, target="/wf-a/_bulk")
    assert [place for place, status in enumerate(_statuses(answer)) if status != 201] == [617]
    failed = answer["items"][617]["index"]
    assert failed["status"] == 400
    assert failed["_id"] == "617"
    assert failed["error"]["type"] == "inference_exception"
    assert failed["error"]["reason"] == (
        "Exception when running inference id [w-embed] on field [body]"
    )
    assert failed["error"]["caused_by"]["type"] == "status_exception"
    assert len(site.chunks("wf-a", "999")) == 1
    assert site.send("GET", "/wf-a/_doc/617", base=site.upstream).status == 404


@pytest.mark.parametrize(("word", "status"), [("LIMIT", 429), ("DOWN", 400)])
def test_a_provider_that_refuses_everything(site: Site, word: str, status: int) -> None:
    site.make("wf-a")
    site.make("wf-plain", {"body": {"type": "text"}})
    answer = site.bulk(
        {"index": {"_index": "wf-a", "_id": "1"}},
        {"body": f"{word} a"},
        {"index": {"_index": "wf-plain", "_id": "1"}},
        {"body": "plain"},
        {"index": {"_index": "wf-a", "_id": "2"}},
        {"title": "nothing to embed"},
    )
    assert _statuses(answer) == [status, 201, 201]
    single = site.send("PUT", "/wf-a/_doc/1", {"body": word})
    assert single.status == status
    error = orjson.loads(single.content)["error"]
    assert error["type"] == "inference_exception"
    assert error["root_cause"][0] == {key: error["caused_by"][key] for key in ("type", "reason")}


def test_an_endpoint_that_stays_down_is_given_up_for_the_request(site: Site) -> None:
    site.make(
        "wf-a",
        {"body": semantic(), "pad": {"type": "keyword", "index": False, "doc_values": False}},
    )
    calls: list[int] = []
    site.embedder.on_call = lambda texts: calls.append(len(texts))
    items: list[Any] = []
    for number in range(300):
        items += [{"index": {"_id": str(number)}}, {"body": "DOWN", "pad": "p" * 30_000}]
    try:
        answer = site.bulk(*items, target="/wf-a/_bulk")
    finally:
        site.embedder.on_call = lambda texts: None
    assert set(_statuses(answer)) == {400}
    assert len(calls) < 30


def test_vectors_of_another_model_are_refused(site: Site) -> None:
    """The endpoint was made anew with a model of fewer dimensions before the first document."""
    site.put_endpoint("wf-other")
    site.make("wf-a", {"body": semantic("wf-other")})
    site.ok("DELETE", "/_inference/wf-other?force=true")
    site.embedder.dimensions = 8
    try:
        site.put_endpoint("wf-other")
        answer = site.send("PUT", "/wf-a/_doc/2", {"body": "y"})
    finally:
        site.embedder.dimensions = 16
        site.send("DELETE", "/_inference/wf-other?force=true")
    assert answer.status == 400
    error = orjson.loads(answer.content)["error"]
    assert error["type"] == "document_parsing_exception"
    assert error["reason"].endswith(
        "Incompatible model settings for field [body]. Check that the inference_id is not using "
        "different model settings"
    )
    assert error["caused_by"]["type"] == "illegal_argument_exception"


def test_the_next_window_is_embedded_while_one_is_sent(site: Site) -> None:
    """And a body is worked through while it arrives: its start is stored before its end is sent."""
    site.make(
        "wf-a",
        {"body": semantic(), "pad": {"type": "keyword", "index": False, "doc_values": False}},
    )
    embedded = threading.Event()
    site.embedder.on_call = lambda texts: embedded.set() if "second 40" in texts else None

    def body() -> Any:
        for number in range(100):
            yield lines({"index": {}}, {"body": f"first {number}", "pad": "p" * 30_000})
        for number in range(100):
            yield lines({"index": {}}, {"body": f"second {number}", "pad": "p" * 30_000})
        assert embedded.wait(20)
        yield lines({"index": {}}, {"body": "last"})

    try:
        answer = site.raw_bulk(body(), target="/wf-a/_bulk")
    finally:
        site.embedder.on_call = lambda texts: None
    assert _statuses(orjson.loads(answer.content)) == [201] * 201


def test_a_large_body_is_stored_from_its_beginning_while_the_rest_is_embedded(site: Site) -> None:
    site.make(
        "wf-a",
        {"body": semantic(), "pad": {"type": "keyword", "index": False, "doc_values": False}},
    )
    stored: list[int] = []

    def look(texts: list[str]) -> None:
        if "text 899" in texts:
            stored.append(site.send("GET", "/wf-a/_doc/0", base=site.upstream).status)

    items: list[object] = []
    for number in range(900):
        items += [{"index": {"_id": str(number)}}, {"body": f"text {number}", "pad": "p" * 400}]
    site.embedder.on_call = look
    try:
        answer = site.raw_bulk(lines(*items), target="/wf-a/_bulk")
    finally:
        site.embedder.on_call = lambda texts: None
    assert _statuses(orjson.loads(answer.content)) == [201] * 900
    assert stored == [200]


def test_a_caller_that_goes_away_ends_its_work(site: Site) -> None:
    site.make("wf-a")
    called = threading.Event()
    site.embedder.on_call = lambda texts: called.set()

    def body() -> Any:
        yield lines({"index": {"_id": "1"}}, {"body": "x"})
        raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        send(site.proxy, "POST", "/wf-a/_bulk", [("Content-Type", "application/x-ndjson")], body())
    site.embedder.on_call = lambda texts: None
    assert site.send("GET", "/wf-a/_doc/1", base=site.upstream).status == 404
    assert not called.is_set()
