"""Batches through a provider that takes few texts, or short ones."""

from __future__ import annotations

import asyncio
import json

import pytest

from proxy.inference.results import RankedDocument
from proxy.limits.deadline import NO_DEADLINE
from tests.support.huggingface import answering, failing, vectors
from tests.support.samples import make_endpoint
from tests.support.stubs import Call, Reply, json_reply


class TestBatches:
    async def test_results_come_in_the_order_of_the_inputs(self):
        inputs = [str(n) for n in range(10)]

        def slower_first(call: Call) -> Reply:
            first = int(call.json["inputs"][0])
            return json_reply([[float(t)] for t in call.json["inputs"]], delay=(9 - first) * 0.01)

        async with answering(slower_first, max_batch_inputs=2) as provider:
            assert await provider.embed(*inputs) == [[float(n)] for n in range(10)]
        assert len(provider.calls) == 5

    async def test_only_so_many_are_under_way_at_once(self):
        under_way = most = 0

        async def track(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal under_way, most
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            inputs = json.loads(await reader.readexactly(length))["inputs"]
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0.02)
            under_way -= 1
            body = json.dumps([[1]] * len(inputs)).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n")
            writer.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
            writer.close()

        server = await asyncio.start_server(track, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with answering(Reply(), max_batch_inputs=1, concurrency=3) as provider:
            endpoint = make_endpoint(url=f"http://127.0.0.1:{port}/")
            await provider.hugging_face.embed(endpoint, [str(n) for n in range(9)], NO_DEADLINE)
        server.close()
        await server.wait_closed()
        assert most == 3

    async def test_reranked_documents_keep_their_own_numbers(self):
        def score(call: Call) -> Reply:
            ranked = [{"index": n, "score": float(t)} for n, t in enumerate(call.json["texts"])]
            return json_reply(ranked[::-1])

        async with answering(score, max_batch_inputs=2) as provider:
            ranked = await provider.rerank("3", "9", "5", "7", "1", top_n=3)
        assert ranked == [RankedDocument(1, 9.0), RankedDocument(3, 7.0), RankedDocument(2, 5.0)]

    async def test_ties_keep_the_order_of_the_reply(self):
        reply = [{"index": n, "score": s} for n, s in ((2, 0.5), (0, 0.5), (1, 0.9))]
        async with answering(json_reply(reply)) as provider:
            ranked = await provider.rerank("a", "b", "c")
        assert [document.index for document in ranked] == [1, 2, 0]

    @pytest.mark.parametrize("status", [413, 422])
    async def test_a_provider_that_takes_fewer_gets_fewer(self, status):
        def at_most_three(call: Call) -> Reply:
            if len(call.json["inputs"]) > 3:
                text = "batch size 9 > maximum allowed batch size 3"
                return json_reply({"error": text, "error_type": "Validation"}, status)
            return vectors(call)

        async with answering(at_most_three) as provider:
            inputs = [str(n) for n in range(10)]
            assert await provider.embed(*inputs) == [[float(n)] for n in range(10)]
            assert provider.waits == []

    async def test_a_lone_text_that_is_too_large_is_halved_and_marked(self):
        def short_only(call: Call) -> Reply:
            if len(call.json["inputs"][0]) > 2:
                return json_reply({"error": "too long"}, 413)
            return json_reply([{"a": 1}])

        async with answering(short_only) as provider:
            (vector,) = await provider.embed_sparse("abcdefgh")
        assert [body["inputs"] for body in provider.bodies] == [["abcdefgh"], ["abcd"], ["ab"]]
        assert vector.is_truncated

    async def test_a_batch_that_is_sent_in_two_has_its_texts_complete_again(self):
        replies = [
            json_reply({"error": "too long"}, 413),
            json_reply({"error": "batch size 2 > maximum allowed batch size 1"}, 413),
            json_reply([[1]]),
        ]
        async with answering(replies) as provider:
            await provider.embed("abcd", "efgh")
        sent = [body["inputs"] for body in provider.bodies]
        assert sent == [["abcd", "efgh"], ["ab", "ef"], ["abcd"], ["efgh"]]

    async def test_reranked_documents_are_not_halved(self):
        async with answering(json_reply({"error": "too long"}, 413)) as provider:
            error = await failing(provider.rerank("abcdefgh"))
        assert [body["texts"] for body in provider.bodies] == [["abcdefgh"]] * 3
        assert error.status == 413

    async def test_a_batch_that_fails_ends_the_request_and_the_other_batches(self):
        def first_fails(call: Call) -> Reply:
            if call.json["inputs"][0] == "0":
                return json_reply({"error": "broken"}, 400, delay=0.05)
            return Reply(fault="hang")

        async with answering(first_fails, max_batch_inputs=1, concurrency=2) as provider:
            error = await failing(provider.embed(*"012345"))
        assert error.reason.endswith("Error message: [broken]")
        assert len(provider.calls) <= 3  # the place of the failed one may be taken once more

    async def test_a_reply_of_another_length_is_an_error(self):
        async with answering(json_reply([[1]])) as provider:
            error = await failing(provider.embed("a", "b"))
        assert error.status == 500
        assert error.reason == (
            "Error the number of embedding responses [1] does not equal the number of requests [2]"
        )

    async def test_an_empty_reply_to_one_of_several_batches_is_an_error(self):
        def second_only(call: Call) -> Reply:
            return json_reply([] if call.json["inputs"] == ["0"] else [[1]])

        async with answering(second_only, max_batch_inputs=1) as provider:
            await failing(provider.embed("0", "1"))

    async def test_a_sparse_reply_of_another_length_is_an_error(self):
        async with answering(json_reply([{"a": 1}]), max_batch_inputs=2) as provider:
            await failing(provider.embed_sparse("0", "1", "2"))


class TestTextsThatAreTooLong:
    """A token for each word, 512 at most, as text-embeddings-inference without `auto_truncate`."""

    WORDS = staticmethod(lambda count: " ".join(["word"] * count))

    @staticmethod
    def short_only(call: Call) -> Reply:
        for text in call.json["inputs"]:
            if (given := len(text.split())) >= 512:
                error = f"`inputs` must have less than 512 tokens. Given: {given}"
                body = {"error": f"Input validation error: {error}", "error_type": "Validation"}
                return json_reply(body, 422)
        return json_reply([[float(len(text.split()))] for text in call.json["inputs"]])

    @pytest.mark.parametrize("words", [520, 900, 8000])
    async def test_one_is_cut_to_what_fits_and_sent_again_at_once(self, words):
        async with answering(self.short_only) as provider:
            ((kept,),) = await provider.embed(self.WORDS(words))
        assert 400 < kept < 512
        assert (len(provider.calls), provider.waits) == (2, [])

    async def test_others_of_its_batch_stay_whole(self):
        inputs = [self.WORDS(count) for count in (3, 511, 900, 5)]
        async with answering(self.short_only) as provider:
            vectors = await provider.embed(*inputs)
        assert vectors[0::3] == [[3], [5]]
        assert vectors[1] == [511]
        assert 400 < vectors[2][0] < 512

    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (422, {"error": "Input validation error: `inputs` must have less than 8 tokens"}),
            (
                400,
                {
                    "object": "error",
                    "message": "This model's maximum context length is 8 tokens. However, you "
                    "requested 16 tokens in the input for embedding generation. Please reduce the "
                    "length of the input.",
                },
            ),
            (
                400,
                {"error": {"code": 400, "message": "the input length exceeds the context length"}},
            ),
            (
                500,
                {
                    "error": {
                        "code": 500,
                        "message": "input (16 tokens) is too large to process. increase the "
                        "physical batch size (current batch size: 8)",
                    }
                },
            ),
            (
                400,
                {
                    "error": "The size of tensor a (16) must match the size of tensor b (8) at "
                    "non-singleton dimension 1"
                },
            ),
            (422, {"detail": "too many tokens"}),
            (400, {"detail": "Input length 16 exceeds maximum allowed token size 8"}),
            (422, {"detail": [{"loc": ["body"], "msg": "Input is too long: 16 tokens"}]}),
            (400, {"error": ["Input is too long for this model, shorten your input"]}),
        ],
    )
    async def test_other_servers_are_understood(self, status, body):
        def short_only(call: Call) -> Reply:
            fits = len(call.json["inputs"][0]) <= 8
            return json_reply([[1]]) if fits else json_reply(body, status)

        async with answering(short_only) as provider:
            assert await provider.embed("abcdefghijklmnop") == [[1]]
        assert provider.waits == []

    @pytest.mark.parametrize("text", ["`inputs` cannot be empty", "dimensions 9 is not supported"])
    async def test_other_mistakes_are_told_at_once(self, text):
        async with answering(json_reply({"error": text}, 422)) as provider:
            error = await failing(provider.embed("abcdefgh"))
        assert (error.status, len(provider.calls)) == (422, 1)
        assert error.reason.endswith(f"Error message: [{text}]")

    async def test_a_provider_that_finds_everything_too_long_is_not_asked_for_ever(self):
        refusal = json_reply({"error": "too many tokens"}, 422)
        async with answering(refusal) as provider:
            error = await failing(provider.embed("x" * 10_000))
        assert (error.status, len(provider.calls)) == (422, 7)
