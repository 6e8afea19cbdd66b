"""Tokenizing, batching and pooling, on ONNX graphs small enough to be worked out by hand."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from onnx.helper import (
    make_graph,
    make_model,
    make_node,
    make_opsetid,
    make_tensor_value_info,
)
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from proxy.modelserver.bodies import BackendFailed, Invalid
from proxy.modelserver.transformer import BadModel, CrossEncoder, EmbeddingModel

WORDS = ["[PAD]", "[SEP]", "one", "two", "three", "four"]  # a token's id is its place
FIELDS = ("input_ids", "attention_mask", "token_type_ids")


@pytest.fixture
def make_folder(tmp_path):
    """Writes a model folder: a word tokenizer, and the graph of the nodes given."""

    def make_folder(nodes, shape, inputs=FIELDS, **settings):
        tokenizer = Tokenizer(WordLevel({word: n for n, word in enumerate(WORDS)}, "[PAD]"))
        tokenizer.pre_tokenizer = Whitespace()
        tokenizer.post_processor = TemplateProcessing(
            single="$A", pair="$A [SEP] $B:1", special_tokens=[("[SEP]", 1)]
        )
        tokenizer.enable_truncation(2)  # what a tokenizer file says about it does not count
        tokenizer.enable_padding(length=16)
        tokenizer.save(str(tmp_path / "tokenizer.json"))
        graph = make_graph(
            nodes,
            "tiny",
            [make_tensor_value_info(name, TensorProto.INT64, ["n", "t"]) for name in inputs],
            [make_tensor_value_info("output", TensorProto.FLOAT, shape)],
        )
        model = make_model(graph, opset_imports=[make_opsetid("", 13)], ir_version=8)
        onnx.save(model, tmp_path / "model.onnx")
        for name, value in settings.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(value))
        return tmp_path

    return make_folder


@pytest.fixture
def ids_folder(make_folder):
    """An embedding model whose tokens have their id and 1 as hidden state."""
    nodes = [
        make_node("Cast", ["input_ids"], ["ids"], to=TensorProto.FLOAT),
        make_node("Constant", [], ["last"], value_ints=[2]),
        make_node("Unsqueeze", ["ids", "last"], ["column"]),
        make_node("Sub", ["column", "column"], ["zeros"]),
        make_node("Exp", ["zeros"], ["ones"]),
        make_node("Concat", ["column", "ones"], ["output"], axis=2),
    ]
    return make_folder(nodes, ["n", "t", 2], inputs=["input_ids"], config={"hidden": 2})


def cross_encoder_nodes():
    """A pair's logit: the sum of the ids in its second part."""
    return [
        make_node("Mul", ["input_ids", "token_type_ids"], ["second"]),
        make_node("Mul", ["second", "attention_mask"], ["real"]),
        make_node("Cast", ["real"], ["floats"], to=TensorProto.FLOAT),
        make_node("Constant", [], ["axis"], value_ints=[1]),
        make_node("ReduceSum", ["floats", "axis"], ["output"], keepdims=1),
    ]


async def test_padding_takes_no_part_in_the_mean(ids_folder):
    model = EmbeddingModel(ids_folder, "ids")
    vectors = await model.embed(
        ["one three", "four", "two two two"], truncate=True, normalize=False
    )
    assert vectors.dtype == np.float32
    assert vectors.tolist() == [[3.0, 1.0], [5.0, 1.0], [3.0, 1.0]]


async def test_normalized_vectors_have_length_one(ids_folder):
    model = EmbeddingModel(ids_folder, "ids")
    vectors = await model.embed(["one", "four"], truncate=True, normalize=True)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1])
    assert vectors[1].tolist() == pytest.approx([5 / 26**0.5, 1 / 26**0.5])


async def test_more_texts_than_a_batch_keep_their_order(ids_folder):
    model = EmbeddingModel(ids_folder, "ids")
    texts = [WORDS[2 + n % 4] for n in range(70)]
    vectors = await model.embed(texts, truncate=True, normalize=False)
    assert vectors[:, 0].tolist() == [2 + n % 4 for n in range(70)]


async def test_cls_pooling_takes_the_first_token(ids_folder):
    (ids_folder / "1_Pooling").mkdir()
    settings = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    (ids_folder / "1_Pooling/config.json").write_text(json.dumps(settings))
    model = EmbeddingModel(ids_folder, "ids")
    assert model.pooling == "cls"
    vectors = await model.embed(["four one one"], truncate=True, normalize=False)
    assert vectors.tolist() == [[5.0, 1.0]]


async def test_other_pooling_is_refused(ids_folder):
    (ids_folder / "1_Pooling").mkdir()
    settings = {"pooling_mode_lasttoken": True, "pooling_mode_mean_tokens": False}
    (ids_folder / "1_Pooling/config.json").write_text(json.dumps(settings))
    with pytest.raises(BadModel, match="only mean and cls pooling"):
        EmbeddingModel(ids_folder, "ids")


async def test_a_long_text_is_cut_or_refused(ids_folder):
    (ids_folder / "sentence_bert_config.json").write_text('{"max_seq_length": 3}')
    model = EmbeddingModel(ids_folder, "ids")
    text = "one one one four four"
    vectors = await model.embed([text], truncate=True, normalize=False)
    assert vectors.tolist() == [[2.0, 1.0]]
    with pytest.raises(Invalid, match=r"`inputs` must have less than 3 tokens\. Given: 5$"):
        await model.embed([text], truncate=False, normalize=False)


async def test_a_cross_encoder_reads_query_and_text_as_a_pair(make_folder):
    model = CrossEncoder(make_folder(cross_encoder_nodes(), ["n", 1]), "pairs")
    texts = ["two", "one one", "four four four"]
    raw = await model.rank("four", texts, truncate=True, raw_scores=True)
    assert raw == [3.0, 4.0, 15.0]
    scores = await model.rank("four", texts, truncate=True, raw_scores=False)
    assert scores == pytest.approx([1 / (1 + np.exp(-logit)) for logit in raw])


async def test_a_model_without_one_logit_per_pair_cannot_rerank(ids_folder):
    model = CrossEncoder(ids_folder, "ids")
    with pytest.raises(BackendFailed, match="model is not a re-ranker model"):
        await model.rank("one", ["two"], truncate=True, raw_scores=True)


def test_a_folder_without_weights_is_refused(tmp_path):
    with pytest.raises(BadModel, match=r"needs tokenizer\.json and one of model\.onnx"):
        EmbeddingModel(tmp_path, "none")
