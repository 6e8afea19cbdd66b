from __future__ import annotations

import json

from proxy.inference.results import (
    RankedDocument,
    SparseVector,
    render_completion,
    render_completion_deltas,
    render_embeddings,
    render_rerank,
    render_sparse,
)
from proxy.xcontent.numbers import Numbers
from proxy.xcontent.writing import dump_json

HALF, NONE = Numbers.of([0.5]), Numbers.of([])


def test_results_have_elasticsearchs_shape():
    assert render_embeddings([HALF, NONE]) == {
        "text_embedding": [{"embedding": HALF}, {"embedding": NONE}]
    }
    assert render_sparse([SparseVector({"b": 1.0, "a": 0.5}, True)]) == {
        "sparse_embedding": [{"is_truncated": True, "embedding": {"b": 1.0, "a": 0.5}}]
    }
    assert render_rerank([RankedDocument(1, 0.5, "t"), RankedDocument(0, 0.1)]) == {
        "rerank": [
            {"index": 1, "relevance_score": 0.5, "text": "t"},
            {"index": 0, "relevance_score": 0.1},
        ]
    }
    assert render_completion(["a", "b"]) == {"completion": [{"result": "a"}, {"result": "b"}]}
    assert render_completion_deltas(["a"]) == {"completion": [{"delta": "a"}]}
    assert render_completion([]) == {"completion": []}


def test_vectors_are_written_as_they_came():
    many = Numbers.of([0.5] * 20_000)
    for vectors in ([HALF], [HALF, NONE, HALF], [NONE], [], [many]):
        written = dump_json(render_embeddings(vectors))
        shown = [{"embedding": vector.to_list()} for vector in vectors]
        assert json.loads(written) == {"text_embedding": shown}
        assert b" " not in written
