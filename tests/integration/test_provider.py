"""The local provider with its real models, over HTTP."""

import asyncio
import io
import json
from itertools import pairwise

import pytest
from aiohttp import ClientSession, ClientTimeout

from proxy.ground.sse import EventDecoder
from testbed.processes import Server, proxy_command
from tests.support.processes import clean_environ

TEXTS = ["hello world", "hi planet", "the stock market fell"]
CHAT = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8, "temperature": 0}


@pytest.fixture
async def session():
    async with ClientSession(timeout=ClientTimeout(60)) as session:
        yield session


@pytest.fixture(scope="module")
def guarded(serve_for_session, tmp_path_factory):
    """A provider that needs a key and takes at most three inputs; one model, no chat."""
    flags = ["--api-key", "the-key", "--max-client-batch-size", "3"]
    model = ["--embedding-model", "all-minilm-l6-v2", "--no-chat"]
    environ = clean_environ(tmp_path_factory.mktemp("guarded"))
    server = Server(proxy_command("provider", "--listen", "127.0.0.1:0", *flags, *model), environ)
    return serve_for_session.start(server, timeout=120)


async def post(session, url, body):
    """The JSON answer of a POST that must succeed."""
    async with session.post(url, json=body) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.content_type == "application/json"
        return await answer.json()


def cosine(one, other):
    return sum(a * b for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("path", ["", "/embed", "/models/all-minilm-l6-v2/embed"])
async def test_minilm_finds_a_paraphrase_closer_than_another_subject(provider, session, path):
    near, far = 0.56, 0.04
    hello, planet, market = await post(session, provider.url + path, {"inputs": TEXTS})
    assert len(hello) == 384
    assert cosine(hello, hello) == pytest.approx(1, abs=1e-5)
    assert cosine(hello, planet) == pytest.approx(near, abs=0.02)
    assert cosine(hello, market) == pytest.approx(far, abs=0.02)


async def test_e5_is_another_model(provider, session):
    vectors = await post(session, f"{provider.url}/models/e5-small-v2/embed", {"inputs": TEXTS})
    hello, planet, market = vectors
    assert len(hello) == 384
    assert cosine(hello, planet) == pytest.approx(0.90, abs=0.02)
    assert cosine(hello, market) == pytest.approx(0.74, abs=0.02)


@pytest.mark.parametrize("model", ["all-minilm-l6-v2", "e5-small-v2"])
async def test_a_text_has_the_same_vector_in_every_batch(provider, session, model):
    url = f"{provider.url}/models/{model}/embed"
    texts = [f"{text} " * n for n in (1, 2, 40) for text in TEXTS]
    batch = await post(session, url, {"inputs": texts})
    alone = [(await post(session, url, {"inputs": text}))[0] for text in texts]
    assert batch == alone
    assert await post(session, url, {"inputs": texts[::-1]}) == batch[::-1]


async def test_vectors_have_their_own_length_if_asked(provider, session):
    body = {"inputs": TEXTS[:1], "normalize": False}
    [vector] = await post(session, f"{provider.url}/embed", body)
    assert cosine(vector, vector) > 2


async def test_many_callers_at_once_get_their_own_vectors(provider, session):
    url = f"{provider.url}/embed"
    expected = await post(session, url, {"inputs": TEXTS})
    answers = await asyncio.gather(
        *(post(session, url, {"inputs": TEXTS[n % 3]}) for n in range(30))
    )
    assert answers == [[expected[n % 3]] for n in range(30)]


async def test_rerank_puts_the_nearest_text_first(provider, session):
    body = {"query": "outer space", "texts": ["the stock market fell", "hi planet", "a cow"]}
    ranks = await post(session, f"{provider.url}/rerank", body)
    assert ranks[0]["index"] == 1
    assert sorted(rank["index"] for rank in ranks) == [0, 1, 2]
    assert all(set(rank) == {"index", "score"} for rank in ranks)
    assert all(1 > better["score"] > worse["score"] > 0 for better, worse in pairwise(ranks))


async def test_rerank_returns_texts_and_raw_cosines_if_asked(provider, session):
    embedded = await post(session, f"{provider.url}/embed", {"inputs": TEXTS})
    body = {"query": TEXTS[0], "texts": TEXTS[1:], "return_text": True, "raw_scores": True}
    first, second = await post(session, f"{provider.url}/rerank", body)
    assert (first["index"], first["text"]) == (0, "hi planet")
    assert first["score"] == pytest.approx(cosine(embedded[0], embedded[1]), abs=1e-4)
    assert second["score"] == pytest.approx(cosine(embedded[0], embedded[2]), abs=1e-4)


async def test_chat_answers_in_one_piece(provider, session):
    answer = await post(session, f"{provider.url}/v1/chat/completions", CHAT)
    assert answer["object"] == "chat.completion"
    [choice] = answer["choices"]
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"]
    assert answer["usage"]["completion_tokens"] <= 8


async def test_chat_streams_role_content_finish_and_usage(provider, session):
    body = CHAT | {"stream": True, "stream_options": {"include_usage": True}}
    async with session.post(f"{provider.url}/v1/chat/completions", json=body) as answer:
        assert answer.status == 200
        assert answer.content_type == "text/event-stream"
        decoder = EventDecoder()
        data = [event.data async for chunk in answer.content.iter_any()
                for event in decoder.feed(chunk)]  # fmt: skip
    assert data.pop() == "[DONE]"
    chunks = [json.loads(text) for text in data]
    usage = chunks.pop()
    assert usage["choices"] == []
    assert 0 < usage["usage"]["completion_tokens"] <= 8
    choices = [chunk["choices"][0] for chunk in chunks]
    assert choices[0]["delta"]["role"] == "assistant"
    assert "".join(choice["delta"].get("content") or "" for choice in choices).strip()
    assert [choice["finish_reason"] for choice in choices[:-1]] == [None] * (len(choices) - 1)
    assert choices[-1]["finish_reason"] in ("stop", "length")


async def test_a_stream_that_its_caller_leaves_frees_its_slot(provider, session):
    url = f"{provider.url}/v1/chat/completions"
    endless = CHAT | {"stream": True, "max_tokens": 2000, "ignore_eos": True}
    for _ in range(6):  # more than there are slots
        async with session.post(url, json=endless) as answer:
            assert await answer.content.readany()
            answer.close()
    await post(session, url, CHAT)


async def test_chat_refuses_what_is_no_chat(provider, session):
    url = f"{provider.url}/v1/chat/completions"
    async with session.post(url, json={"messages": "hello"}) as answer:
        assert answer.status == 400
        assert "messages" in (await answer.json())["error"]["message"]


async def test_info_tells_limits_and_what_reranks(provider, session):
    async with session.get(f"{provider.url}/info") as answer:
        info = await answer.json()
    assert info["model_id"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert info["max_client_batch_size"] == 32
    assert info["max_input_length"] == 256
    assert info["rerank"]["method"].startswith("no cross-encoder")
    assert info["chat"] == {"model_id": "HuggingFaceTB/SmolLM2-135M-Instruct"}
    async with session.get(provider.url + "/models/e5-small-v2/info") as answer:
        assert (await answer.json())["max_input_length"] == 512


async def test_a_text_that_is_too_long_is_refused_if_it_may_not_be_cut(provider, session):
    body = {"inputs": "a " * 400, "truncate": False}
    async with session.post(f"{provider.url}/embed", json=body) as answer:
        assert answer.status == 422
        rule = "`inputs` must have less than 256 tokens. Given: 402"
        error = {"error": f"Input validation error: {rule}", "error_type": "Validation"}
        assert await answer.json() == error
    body["truncate"] = True
    assert len(await post(session, f"{provider.url}/embed", body)) == 1


async def test_only_json_is_read(provider, session):
    async with session.post(f"{provider.url}/embed", data="inputs=a") as answer:
        assert answer.status == 415
        assert await answer.text() == "Expected request with `Content-Type: application/json`"


async def test_a_body_over_two_megabytes_is_too_large(provider, session):
    body = io.BytesIO(json.dumps({"inputs": "a" * 2_000_000}).encode())
    headers = {"Content-Type": "application/json"}
    async with session.post(f"{provider.url}/embed", data=body, headers=headers) as answer:
        assert answer.status == 413
        assert "length limit exceeded" in await answer.text()


async def test_an_unknown_model_is_not_found(provider, session):
    async with session.post(f"{provider.url}/models/none/embed", json={"inputs": "a"}) as answer:
        assert answer.status == 404
        assert "no model [none]" in await answer.text()


async def test_a_key_guards_every_post_and_nothing_else(guarded, session):
    for path in ("/embed", "/rerank", "/v1/chat/completions"):
        for headers in ({}, {"Authorization": "Bearer other"}, {"Authorization": "the-key"}):
            async with session.post(guarded.url + path, json={}, headers=headers) as answer:
                assert answer.status == 401
                assert await answer.read() == b""
    for path in ("/health", "/ping", "/", "/info"):
        async with session.get(guarded.url + path) as answer:
            assert answer.status == 200
    key = {"Authorization": "Bearer the-key"}
    async with session.post(f"{guarded.url}/embed", json={"inputs": "a"}, headers=key) as answer:
        assert answer.status == 200


async def test_the_batch_limit_can_be_set(guarded, session):
    key = {"Authorization": "Bearer the-key"}
    body = {"inputs": ["a"] * 4}
    async with session.post(f"{guarded.url}/embed", json=body, headers=key) as answer:
        assert answer.status == 422
        error = "batch size 4 > maximum allowed batch size 3"
        assert await answer.json() == {"error": error, "error_type": "Validation"}


async def test_without_a_chat_model_chat_is_not_found(guarded, session):
    key = {"Authorization": "Bearer the-key"}
    async with session.post(f"{guarded.url}/v1/chat/completions", json=CHAT, headers=key) as answer:
        assert answer.status == 404
