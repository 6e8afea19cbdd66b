"""What inference processors send and put in, and what becomes of documents whose calls fail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from proxy.ground.advice import Advice
from proxy.ground.errors import IllegalArgument, ProxyError, StatusError
from proxy.inference.endpoints import InferenceEndpoint, SecretSettings, ServiceSettings, TaskType
from proxy.limits.deadline import Deadline
from proxy.semantic.ingest.inferring import Inferring, texts_for, with_results
from proxy.semantic.ingest.simulating import Draft
from proxy.semantic.pipelines import Input, Processor


def processor(*inputs: str, **more: Any) -> Processor:
    made = tuple(Input(one, f"{one}_out") for one in inputs)
    return Processor(model_id="embed", inputs=made, **more)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"a": "x", "b": "y"}, ["x", "y"]),
        ({"a": "x"}, ["x", ""]),
        ({"a": "x", "b": None}, ["x", ""]),
        ({"b": "y"}, []),
        ({"a": None, "b": "y"}, []),
    ],
)
def test_a_missing_text_is_an_empty_one_unless_it_is_the_first(document, expected):
    assert texts_for(document, processor("a", "b", ignore_missing=True)) == expected


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({}, "field [a] not present as part of path [a]"),
        ({"a": 1}, "input field [a] cannot be processed because it is not a text field"),
        ({"a": ["x"]}, "input field [a] cannot be processed because it is not a text field"),
    ],
)
def test_what_is_no_text_fails(document, reason):
    with pytest.raises(IllegalArgument) as raised:
        texts_for(document, processor("a"))
    assert raised.value.reason == reason


def test_results_are_put_in_with_the_model_beside_the_first():
    data = with_results(b'{"n":1.0}', processor("o.a", "b"), [[1], [2]])
    assert data == b'{"n":1.0,"o":{"model_id":"embed","a_out":[1]},"b_out":[2]}'


def test_a_wrong_number_of_results_fails():
    with pytest.raises(ProxyError) as raised:
        with_results(b"{}", processor("a"), [])
    reason = "number of results [0] does not match the number of inputs [1]"
    assert (raised.value.status, raised.value.reason) == (500, reason)


class Endpoints:
    """One that counts the characters of texts, and refuses those with `bad` in them."""

    def __init__(
        self,
        task: TaskType = TaskType.TEXT_EMBEDDING,
        status: int = 422,
        advice: Advice | None = None,
    ) -> None:
        self.advice = advice
        self.task = task
        self.status = status
        self.calls: list[list[str]] = []

    async def find(self, inference_id: str) -> InferenceEndpoint | None:
        if inference_id != "embed":
            return None
        return InferenceEndpoint(
            inference_id=inference_id,
            task_type=self.task,
            service_settings=ServiceSettings(url="http://provider"),
            secret_settings=SecretSettings(api_key="hf_secret"),
        )

    async def infer(
        self, endpoint: InferenceEndpoint, texts: Sequence[str], deadline: Deadline, kind: str
    ) -> list[Any]:
        self.calls.append(list(texts))
        if any("bad" in text for text in texts):
            error = StatusError(400, "refused")
            error.provider_status = self.status
            raise error.advised(self.advice)
        return [len(text) for text in texts]


async def run(endpoints: Endpoints, *documents: Any, of: Processor | None = None) -> list[Draft]:
    drafts = [Draft(data=orjson.dumps(one), meta={}) for one in documents]
    work = [(draft, of or processor("a")) for draft in drafts]
    await Inferring(endpoints).run(work, Deadline.after(10))  # type: ignore[arg-type] # it infers only
    return drafts


async def test_documents_are_sent_together():
    endpoints = Endpoints()
    drafts = await run(endpoints, {"a": "x"}, {"a": "yy"})
    assert endpoints.calls == [["x", "yy"]]
    assert [orjson.loads(draft.data)["a_out"] for draft in drafts] == [1, 2]


async def test_completions_are_asked_for_one_by_one():
    endpoints = Endpoints(TaskType.COMPLETION)
    await run(endpoints, {"a": "x"}, {"a": "yy"})
    assert sorted(endpoints.calls) == [["x"], ["yy"]]


async def test_a_refused_text_is_the_error_of_its_document_only():
    endpoints = Endpoints()
    drafts = await run(endpoints, {"a": "x"}, {"a": "bad"}, {"a": "z"}, {"a": 1})
    assert [draft.error is None for draft in drafts] == [True, False, True, False]
    assert drafts[3].error is not None
    assert "is not a text field" in drafts[3].error.reason


async def test_a_provider_that_takes_no_text_at_all_is_called_once():
    endpoints = Endpoints(advice=Advice("paused", "Resume it.", 400, is_general=True))
    drafts = await run(endpoints, {"a": "x"}, {"a": "bad"})
    assert len(endpoints.calls) == 1
    assert not any(draft.is_open for draft in drafts)


async def test_so_is_one_that_makes_its_server_fail():
    drafts = await run(Endpoints(status=500), {"a": "x"}, {"a": "bad"}, {"a": "z"})
    assert [draft.error is None for draft in drafts] == [True, False, True]


async def test_a_server_that_fails_whatever_it_is_sent_is_soon_left_alone():
    endpoints = Endpoints(status=500)
    drafts = await run(endpoints, *[{"a": "bad"}] * 300)
    assert not any(draft.is_open for draft in drafts)
    assert len(endpoints.calls) < 50


async def test_a_conflict_of_the_endpoint_is_none_of_the_document():
    class Drifted(Endpoints):
        async def infer(self, *arguments: Any) -> list[Any]:
            raise StatusError(409, "another model")

    (draft,) = await run(Drifted(), {"a": "x"})
    assert draft.error is not None
    assert (draft.error.status, draft.error.reason) == (503, "another model")


async def test_a_provider_that_is_down_is_called_once():
    endpoints = Endpoints(status=503)
    drafts = await run(endpoints, {"a": "x"}, {"a": "bad"})
    assert len(endpoints.calls) == 1
    assert not any(draft.is_open for draft in drafts)


@pytest.mark.parametrize(
    ("of", "status"),
    [
        (Processor(model_id="gone", inputs=(Input("a", "b"),)), 404),
        (Processor(model_id="gone", inputs=None), 404),
        (Processor(model_id="embed", inputs=None), 400),
    ],
)
async def test_processors_that_cannot_run_here(of: Processor, status: int):
    (draft,) = await run(Endpoints(), {"a": "x"}, of=of)
    assert draft.error is not None
    assert draft.error.status == status
