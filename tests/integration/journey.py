"""A journey through the inference API by programs in other languages, and the tests of its results.

A program reads a plan (see `plan`) from standard input and writes a line of JSON for each step:
`{"step": …, "result": …}`, or `{"step": …, "error": {"name", "status", "reason"}}` if its client
raised. A streamed answer is `{"text", "pieces"}`: the complete text, and the number of its pieces.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from typing import Any, Final

import pytest

from testbed.processes import Server
from tests.integration.examples import (
    DOCUMENTS,
    EXAMPLES,
    MESSAGES,
    MOST_TOKENS,
    PROMPT,
    QUERY,
    TEXTS,
    assert_chat_stream,
    assert_completion,
    assert_completion_stream,
    assert_embeddings,
    assert_endpoint,
    assert_ranking,
    example_body,
)
from tests.support.endpoints import delete_all_endpoints

PATIENCE: Final = 400  # seconds for the whole journey, on a busy machine
# Processes that run tests share an Elasticsearch; what is of one of them alone has its name.
_PROCESS: Final = os.environ.get("PYTEST_XDIST_WORKER", "alone")
ANIMALS: Final = f"animals-of-a-journey-{_PROCESS}"
MEANINGS: Final = f"meanings-of-a-journey-{_PROCESS}"  # an index that only clients with types make
# By task type. MEANINGS uses one, and an endpoint that any index uses is not deleted.
IDS: Final = {task: f"{name}-{_PROCESS}" for task, (name, _) in EXAMPLES.items()}
UPDATE: Final = {"service_settings": {"api_key": "another-token"}, "task_settings": {"top_n": 1}}


class Journey:
    """The answers of a program, by step."""

    def __init__(self, text: str) -> None:
        self._answers = {line["step"]: line for line in map(json.loads, text.splitlines())}

    def result(self, step: str) -> Any:
        answer = self._answers[step]
        assert "error" not in answer, answer
        return answer["result"]

    def error(self, step: str) -> Any:
        answer = self._answers[step]
        assert "error" in answer, answer
        return answer["error"]


def plan(proxy: str, provider: str) -> dict[str, Any]:
    """What a program reads."""
    endpoints = [
        {"task_type": task, "inference_id": name, "body": example_body(task, provider)}
        for task, name in IDS.items()
    ]
    return {
        "proxy": proxy,
        "endpoints": endpoints,
        "ids": IDS,
        "update": UPDATE,
        "texts": TEXTS,
        "query": QUERY,
        "documents": DOCUMENTS,
        "prompt": PROMPT,
        "messages": MESSAGES,
        "max_completion_tokens": MOST_TOKENS,
        "index": ANIMALS,
        "meanings": MEANINGS,
    }


def travel(program: Sequence[str], proxy: str, provider: str) -> Journey:
    """Run a program to its end."""
    done = subprocess.run(
        program,
        input=json.dumps(plan(proxy, provider)),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=PATIENCE,
    )
    assert done.returncode == 0, f"{program[0]} failed:\n{done.stdout[-4000:]}\n{done.stderr}"
    return Journey(done.stdout)


class JourneyTests:
    """Tests of a program; the module of a subclass has a fixture `program`, the command."""

    error_name: str  # the exception of its client
    streams = True  # whether its client passes a stream on while it arrives

    @pytest.fixture(scope="class")
    @classmethod
    def journey(
        cls, program: Sequence[str], proxy_for_session: Server, provider: Server
    ) -> Journey:
        delete_all_endpoints(proxy_for_session.url)
        return travel(program, proxy_for_session.url, provider.url)

    def assert_refused(self, error: Any, status: int, reason: str) -> None:
        assert (error["name"], error["status"]) == (self.error_name, status)
        assert reason in error["reason"]

    @pytest.mark.parametrize("task_type", EXAMPLES)
    def test_put_makes_the_endpoint(self, journey, provider, task_type):
        made = journey.result(f"put {task_type}")
        assert_endpoint(made, task_type, provider.url, IDS[task_type])

    def test_get_shows_one_or_all(self, journey, provider):
        (one,) = journey.result("get")["endpoints"]
        assert_endpoint(one, "rerank", provider.url, IDS["rerank"])
        shown = journey.result("get all")["endpoints"]
        assert len(shown) == len(EXAMPLES)
        for endpoint in shown:
            task_type = endpoint["task_type"]
            assert_endpoint(endpoint, task_type, provider.url, IDS[task_type])

    def test_text_embedding(self, journey):
        assert_embeddings(journey.result("text_embedding"))
        assert_embeddings(journey.result("inference"))

    def test_rerank(self, journey):
        assert_ranking(journey.result("rerank"))

    def test_completion(self, journey):
        assert_completion(journey.result("completion"))

    def test_stream_completion(self, journey):
        assert_completion_stream(self.streamed(journey.result("stream_completion")))

    def test_chat_completion(self, journey):
        assert_chat_stream(self.streamed(journey.result("chat_completion_unified")))

    def streamed(self, answer: Any) -> str:
        if self.streams:
            assert answer["pieces"] > 1, "the stream must arrive in pieces"
        return str(answer["text"])

    def test_update_changes_settings_and_shows_no_token(self, journey):
        updated = journey.result("update")
        assert updated["task_settings"] == {"return_documents": True, "top_n": 1}
        assert "another-token" not in str(updated)
        (best,) = journey.result("rerank updated")["rerank"]
        assert best["index"] in {1, 3}

    def test_mistakes_are_errors_of_the_client(self, journey):
        self.assert_refused(journey.error("unknown id"), 404, "Inference endpoint not found")
        self.assert_refused(journey.error("put again"), 400, "already exists")
        self.assert_refused(journey.error("wrong task"), 400, "Incompatible task_type")

    @pytest.mark.parametrize("task_type", EXAMPLES)
    def test_delete_removes_the_endpoint(self, journey, task_type):
        assert journey.result(f"delete {task_type}")["acknowledged"] is True
        self.assert_refused(
            journey.error(f"get deleted {task_type}"), 404, "Inference endpoint not found"
        )

    def test_everything_else_reaches_elasticsearch(self, journey):
        assert journey.result("bulk")["errors"] is False
        hits = journey.result("search")["hits"]["hits"]
        assert [hit["_source"]["text"] for hit in hits] == [DOCUMENTS[2]]
        self.assert_refused(journey.error("no index"), 404, "no such index")


class TypedJourneyTests(JourneyTests):
    """Also tests what clients with a type for each request offer."""

    @pytest.mark.parametrize("task_type", EXAMPLES)
    def test_put_hugging_face_is_the_same_as_put(self, journey, provider, task_type):
        made = journey.result(f"put_hugging_face {task_type}")
        assert_endpoint(made, task_type, provider.url, IDS[task_type])
        assert journey.result(f"delete after put_hugging_face {task_type}")["acknowledged"] is True

    def test_an_update_that_names_the_service_is_refused_as_elasticsearch_does(self, journey):
        reason = "cannot be updated, remove these fields and try again [{service=hugging_face}]"
        self.assert_refused(journey.error("update with service"), 400, reason)

    def test_a_field_of_type_semantic_text_is_declared_and_filled(self, journey):
        shown = journey.result("mapping of semantic_text")[MEANINGS]["mappings"]["properties"]
        assert (shown["body"]["type"], shown["body"]["inference_id"]) == (
            "semantic_text",
            IDS["text_embedding"],
        )
        assert set(shown) == {"body"}
        assert journey.result("fill semantic_text")["errors"] is False

    @pytest.mark.parametrize(
        ("step", "number"), [("semantic", 4), ("rrf", 4), ("text_similarity_reranker", 3)]
    )
    def test_texts_are_found_by_meaning(self, journey, step, number):
        hits = journey.result(step)["hits"]["hits"]
        best = hits[0]
        assert best["_source"] == {"body": DOCUMENTS[1]}
        assert best["highlight"] == {"body": [DOCUMENTS[1]]}
        assert best["fields"] == {"body": [DOCUMENTS[1]]}
        assert len(hits) == number
