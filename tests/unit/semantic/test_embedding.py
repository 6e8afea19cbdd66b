"""Documents are embedded together, and each has its own error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from proxy.ground.advice import Advice
from proxy.ground.errors import StatusError, StoreError
from proxy.inference.chunking import parse_chunking
from proxy.inference.endpoints import InferenceEndpoint, SecretSettings, ServiceSettings, TaskType
from proxy.limits.deadline import Deadline
from proxy.semantic.embedding import Filler
from proxy.semantic.fields import SemanticField
from proxy.semantic.filling import Chunk, FieldFilling, Filling
from proxy.semantic.modelsettings import SparseModel
from proxy.xcontent.numbers import Numbers
from proxy.xcontent.weights import Weights
from tests.unit.semantic.targets import semantic_field

FIELD: Final = semantic_field()


class Endpoints:
    """One endpoint `e` whose vectors are of the length of texts; `bad` ones are refused."""

    def __init__(
        self,
        status: int = 422,
        task: TaskType = TaskType.TEXT_EMBEDDING,
        advice: Advice | None = None,
    ) -> None:
        self.calls: list[list[str]] = []
        self.advice = advice
        self.status = status
        self.task = task
        self.dimensions = 3
        self.store_is_away = False

    async def find(self, inference_id: str) -> InferenceEndpoint | None:
        if self.store_is_away:
            raise StoreError("away")
        if inference_id != "e":
            return None
        return InferenceEndpoint(
            inference_id=inference_id,
            task_type=self.task,
            service_settings=ServiceSettings(url="http://provider", dimensions=self.dimensions),
            secret_settings=SecretSettings(api_key="hf_secret"),
            chunking_settings=parse_chunking({"strategy": "none"}),
        )

    async def completed(self, endpoint: InferenceEndpoint) -> InferenceEndpoint:
        return endpoint

    async def embed(
        self, endpoint: InferenceEndpoint, texts: Sequence[str], deadline: Deadline, kind: str
    ) -> list[Numbers]:
        self.calls.append(list(texts))
        assert kind == "ingest"
        if any("bad" in text for text in texts):
            error = StatusError(400, "refused")
            error.provider_status = self.status
            raise error.advised(self.advice)
        return [Numbers.of([float(len(text)), 0.0, 0.0]) for text in texts]


def filling(*texts: str, field: SemanticField = FIELD) -> Filling:
    chunks = [Chunk(source=field.path, start=0, end=1, texts=(text,)) for text in texts]
    return Filling(fields={field.path: FieldFilling(semantic=field, chunks=chunks)})


def vectors(filled: Filling) -> list[Any]:
    return [orjson.loads(one.vector) for one in filled.fields["body"].chunks]


async def fill(endpoints: Any, *fillings: Filling, filler: Filler | None = None) -> None:
    await (filler or Filler(endpoints)).fill(fillings, Deadline.after(10))


async def test_the_texts_of_all_documents_go_in_one_call():
    endpoints, one, other = Endpoints(), filling("a", "bb"), filling("ccc")
    await fill(endpoints, one, other)
    assert endpoints.calls == [["a", "bb", "ccc"]]
    assert vectors(one) == [[1, 0, 0], [2, 0, 0]]
    assert vectors(other) == [[3, 0, 0]]


async def test_the_vectors_of_a_shared_slot_are_averaged():
    endpoints, one = Endpoints(), filling("a")
    one.fields["body"].chunks[0].texts = ("a", "bbb")
    await fill(endpoints, one)
    assert vectors(one) == [[2, 0, 0]]


async def test_a_refused_text_is_the_error_of_its_document_only():
    endpoints = Endpoints()
    documents = [filling("a"), filling("bad"), filling("c")]
    await fill(endpoints, *documents)
    assert [one.error is None for one in documents] == [True, False, True]
    assert documents[1].error is not None
    assert documents[1].error.status == 400
    assert "[e] on field [body]" in documents[1].error.reason


async def test_so_is_one_that_makes_its_server_fail():
    endpoints = Endpoints(status=500)
    documents = [filling("bad" if number in (0, 300) else "a") for number in range(512)]
    await fill(endpoints, *documents)
    assert [number for number, one in enumerate(documents) if one.error] == [0, 300]


async def test_a_server_that_fails_whatever_it_is_sent_is_soon_left_alone():
    endpoints = Endpoints(status=500)
    documents = [filling("bad") for _ in range(5000)]
    await fill(endpoints, *documents)
    assert len(endpoints.calls) == 12
    assert all(one.error is not None for one in documents)


async def test_a_provider_that_takes_no_text_at_all_is_not_asked_about_each():
    endpoints = Endpoints(advice=Advice("paused", "Resume it.", 400, is_general=True))
    documents = [filling("a"), filling("bad"), filling("c")]
    await fill(endpoints, *documents)
    assert [len(texts) for texts in endpoints.calls] == [3]
    assert all(one.error is not None for one in documents)


async def test_an_endpoint_that_fails_twice_is_not_called_again():
    endpoints = Endpoints(status=503)
    filler = Filler(endpoints)  # type: ignore[arg-type] # it embeds only
    for _ in range(4):
        document = filling("bad")
        await fill(endpoints, document, filler=filler)
        assert document.error is not None
    assert len(endpoints.calls) == 2


async def test_many_texts_go_in_several_calls():
    endpoints = Endpoints()
    documents = [filling(*["a"] * 300) for _ in range(3)]
    await fill(endpoints, *documents)
    assert [len(call) for call in endpoints.calls] == [300, 300, 300]


async def test_what_has_failed_before_is_not_embedded():
    endpoints, one = Endpoints(), filling("a")
    one.error = StatusError(400, "x")
    await fill(endpoints, one)
    assert endpoints.calls == []


async def test_an_endpoint_that_there_is_not():
    one = filling("a", field=semantic_field(endpoint="gone"))
    await fill(Endpoints(), one)
    assert one.error is not None
    assert one.error.status == 404
    assert one.error.reason == "Inference id [gone] not found for field [body]"


async def test_an_endpoint_that_cannot_be_looked_up():
    endpoints, one = Endpoints(), filling("a")
    endpoints.store_is_away = True
    await fill(endpoints, one)
    assert one.error is not None
    assert one.error.reason == "Error loading inference for inference id [e] on field [body]"


async def test_vectors_that_do_not_fit_the_field_are_not_made():
    endpoints, one = Endpoints(), filling("a")
    endpoints.dimensions = 4
    await fill(endpoints, one)
    assert one.error is not None
    assert "Incompatible model settings" in one.error.reason
    assert endpoints.calls == []


async def test_an_endpoint_of_another_task():
    one = filling("a")
    await fill(Endpoints(task=TaskType.RERANK), one)
    assert one.error is not None
    assert "makes no embeddings" in one.error.render()["caused_by"]["reason"]


async def test_an_endpoint_that_makes_sparse_vectors_now():
    endpoints, one = Endpoints(task=TaskType.SPARSE_EMBEDDING), filling("a")
    await fill(endpoints, one)
    assert one.error is not None
    assert "Incompatible model settings for field [body]" in one.error.reason
    cause = one.error.render()["caused_by"]["reason"]
    assert cause.endswith("to [service=hugging_face, task_type=sparse_embedding]")
    assert endpoints.calls == []


async def test_the_tokens_of_all_texts_of_a_chunk_are_kept():
    class Sparse(Endpoints):
        async def embed(self, *args: Any) -> Any:
            return [Weights.of({text: 1.0, "all": float(len(text))}) for text in args[1]]

    sparse = semantic_field(model=SparseModel())
    several = Chunk(source="body", start=0, end=1, texts=("a", "bb"))
    one = Filling(fields={"body": FieldFilling(semantic=sparse, chunks=[several])})
    await fill(Sparse(task=TaskType.SPARSE_EMBEDDING), one)
    assert (one.error, vectors(one)) == (None, [{"a": 1.0, "all": 2.0, "bb": 1.0}])


async def test_texts_are_cut_as_the_field_says_or_else_its_endpoint():
    own = semantic_field(
        "own",
        definition={"chunking_settings": {"strategy": "word", "max_chunk_size": 20, "overlap": 1}},
    )
    found = await Filler(Endpoints()).chunkers({"own": own, "body": FIELD})  # type: ignore[arg-type]
    text = "w " * 100
    assert len(found["own"].chunks(text)) == 6
    assert len(found["body"].chunks(text)) == 1
