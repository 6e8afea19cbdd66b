"""What a server says about itself, and where."""

from __future__ import annotations

import orjson
import pytest

from proxy.huggingface.info import ServerInfo, info_url, parse_info

# Source: a text-embeddings-inference 1.9 for intfloat/e5-small-v2.
REPLY = {
    "model_id": "intfloat/e5-small-v2",
    "model_sha": "ffb93f3bd4047442299a41ebb6fa998a38507c52",
    "model_dtype": "float16",
    "model_type": {"embedding": {"pooling": "mean"}},
    "max_concurrent_requests": 512,
    "max_input_length": 512,
    "max_batch_tokens": 16384,
    "max_batch_requests": None,
    "max_client_batch_size": 32,
    "auto_truncate": False,
    "tokenization_workers": 4,
    "version": "1.9.0",
    "sha": None,
    "docker_label": None,
}


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("https://h.test/", "https://h.test/info"),
        ("https://h.test", "https://h.test/info"),
        ("https://h.test/embed", "https://h.test/info"),
        ("https://h.test/embed/", "https://h.test/info"),
        ("http://h.test:8080/embed_sparse", "http://h.test:8080/info"),
        ("https://h.test/rerank", "https://h.test/info"),
        ("https://h.test/v1/embeddings", "https://h.test/info"),
        ("https://h.test/models/e5", "https://h.test/models/e5/info"),
        (
            "https://h.test/team%2Fa/e5/embed?key=k%20+#part",
            "https://h.test/team%2Fa/e5/info?key=k%20+",
        ),
        ("https://h.test/reembed", "https://h.test/reembed/info"),
        ("https://h.test/ü/embed", "https://h.test/%C3%BC/info"),
    ],
)
def test_it_is_asked_beside_its_route(url, where):
    assert str(info_url(url)) == where


@pytest.mark.parametrize("host", ["router.huggingface.co", "api-inference.huggingface.co"])
def test_hosts_of_many_models_are_not_asked(host):
    assert info_url(f"https://{host}/hf-inference/models/a/b/pipeline/feature-extraction") is None


def test_a_reply_is_read():
    info = parse_info(orjson.dumps(REPLY))
    assert info == ServerInfo(
        model_id="intfloat/e5-small-v2",
        model_sha="ffb93f3bd4047442299a41ebb6fa998a38507c52",
        max_inputs=32,
        max_tokens=512,
        truncates=False,
    )
    assert str(info) == (
        "[intfloat/e5-small-v2] of revision [ffb93f3bd4047442299a41ebb6fa998a38507c52], "
        "32 inputs in a call, 512 tokens in an input, longer ones are refused"
    )


@pytest.mark.parametrize(
    "reply",
    [
        *("", "x", "[]", "null", "{}", '"e5"', "[" * 5000, "\xff", "{" * 5000),
        *('{"model_id": 1}', '{"model_id": ""}', '{"model_id": "a\\nb"}', '{"model_id":"\\ud800"}'),
        '{"model_id": "%s"}' % ("x" * 201),
    ],
)
def test_an_odd_reply_says_nothing(reply):
    assert parse_info(reply.encode("latin-1")) is None


@pytest.mark.parametrize("value", [None, 0, -1, True, 1.5, "32", [32], 10**30, 10_000_001])
def test_an_odd_number_is_left_out(value):
    reply = {**REPLY, "max_client_batch_size": value, "max_input_length": value}
    try:
        data = orjson.dumps(reply)
    except TypeError:
        data = orjson.dumps({**reply, "max_client_batch_size": 0, "max_input_length": 0})
    info = parse_info(data)
    assert info is not None
    assert (info.max_inputs, info.max_tokens) == (None, None)
