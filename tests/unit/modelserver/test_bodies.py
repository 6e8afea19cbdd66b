"""Request bodies and error answers of the model server."""

import json

import pytest

from proxy.modelserver.bodies import EmbedRequest, Refused, RerankRequest, parse_embed, parse_rerank


def body(**fields):
    return json.dumps(fields).encode()


def test_one_input_is_a_batch_of_one():
    wanted = EmbedRequest(inputs=["a"], truncate=True, normalize=True)
    assert parse_embed(body(inputs="a"), 32) == wanted


def test_every_embed_option_is_read():
    wanted = EmbedRequest(inputs=["a", "b"], truncate=False, normalize=False)
    assert parse_embed(body(inputs=["a", "b"], truncate=False, normalize=False), 32) == wanted


def test_every_rerank_option_is_read():
    read = parse_rerank(
        body(query="q", texts=["a"], truncate=False, raw_scores=True, return_text=True), 32
    )
    assert read == RerankRequest(
        query="q", texts=["a"], truncate=False, raw_scores=True, return_text=True
    )


def test_keys_that_are_not_known_are_let_pass():
    read = parse_rerank(body(query="q", texts=["a"], top_n=1), 32)
    assert not read.raw_scores
    assert not read.return_text


@pytest.mark.parametrize(
    ("parse", "sent", "status", "error_type", "text"),
    [
        (parse_embed, b"{", 400, None, "Failed to parse the request body as JSON: "),
        (parse_embed, b"[]", 422, None, "target type: expected an object"),
        (parse_embed, body(), 422, None, "target type: missing field `inputs`"),
        (parse_embed, body(inputs=5), 422, None, "target type: inputs: expected strings"),
        (parse_embed, body(inputs=["a", 1]), 422, None, "inputs: expected strings"),
        (parse_embed, body(inputs="a", truncate=1), 422, None, "truncate: expected a boolean"),
        (parse_embed, body(inputs=[]), 400, "Empty", "`inputs` cannot be empty"),
        (parse_embed, body(inputs=""), 400, "Empty", "`inputs` cannot be empty"),
        (parse_embed, body(inputs=["a", ""]), 400, "Empty", "`inputs` cannot be empty"),
        (
            parse_embed,
            body(inputs=["a"] * 33),
            422,
            "Validation",
            "batch size 33 > maximum allowed batch size 32",
        ),
        (parse_rerank, body(texts=["a"]), 422, None, "missing field `query`"),
        (parse_rerank, body(query=1, texts=["a"]), 422, None, "query: expected a string"),
        (parse_rerank, body(query="q"), 422, None, "missing field `texts`"),
        (parse_rerank, body(query="q", texts="a"), 422, None, "texts: expected strings"),
        (parse_rerank, body(query="q", texts=[]), 400, "Empty", "`texts` cannot be empty"),
        (
            parse_rerank,
            body(query="q", texts=["a"] * 40),
            422,
            "Validation",
            "batch size 40 > maximum allowed batch size 32",
        ),
    ],
)
def test_a_bad_body_is_refused_as_tei_does(parse, sent, status, error_type, text):
    with pytest.raises(Refused) as caught:
        parse(sent, 32)
    refusal = caught.value
    assert (refusal.status, refusal.error_type) == (status, error_type)
    assert text in refusal.text
    if error_type is None:
        assert refusal.body() == refusal.text.encode()
    else:
        assert json.loads(refusal.body()) == {"error": text, "error_type": error_type}
