"""What is asked of servers behind the callers' backs, and what comes of it."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from dataclasses import replace

import orjson
import pytest

from proxy.config import EgressConfig, ProviderConfig
from proxy.config.prefixes import Prefixes
from proxy.ground.authorization import held
from proxy.huggingface import waking
from proxy.huggingface.info import ServerInfo
from proxy.huggingface.servers import Servers
from proxy.huggingface.session import provider_session
from proxy.inference.endpoints import TaskType
from proxy.inference.fingerprints import Model
from proxy.inference.ports import Sighting
from proxy.limits.deadline import NO_DEADLINE
from proxy.limits.memory import MemoryBudget
from tests.support.clock import Clock
from tests.support.egress import egress_rules
from tests.support.huggingface import Provider, answering, failing, vectors
from tests.support.samples import TOKEN, make_endpoint
from tests.support.stubs import Call, FaultyServer, Reply, json_reply

INFO = {
    "model_id": "intfloat/e5-small-v2",
    "model_sha": "ffb93f3b",
    "max_client_batch_size": 2,
    "max_input_length": 512,
    "auto_truncate": True,
}


async def told(provider: Provider) -> None:
    """Wait for what goes on in the background."""
    await asked(provider.hugging_face._servers)


async def asked(servers: Servers) -> None:
    await servers._asking.settled()


def inputs(provider: Provider) -> list[list[str]]:
    return [body["inputs"] for body in provider.bodies]


class TestCalls:
    async def test_a_server_that_takes_fewer_is_known_after_its_first_answer(self):
        async with answering(vectors) as provider:
            provider.server.info = json_reply(INFO)
            await provider.embed(*"012")
            await told(provider)
            await provider.embed(*"012")
        assert inputs(provider) == [["0", "1", "2"], ["0", "1"], ["2"]]
        (call,) = provider.server.asked
        assert (call.target, call.headers["Authorization"]) == ("/info", f"Bearer {TOKEN}")

    async def test_texts_of_several_requests_are_put_together_as_it_takes_them(self):
        async with answering(vectors, coalescing=True, concurrency=1) as provider:
            provider.server.info = json_reply(INFO)
            await provider.embed("0")
            await told(provider)
            await asyncio.gather(*(provider.embed(text) for text in "12345"))
        assert max(map(len, inputs(provider))) == 2

    async def test_a_caller_does_not_wait_for_it(self):
        async with answering(vectors) as provider:
            provider.server.info = Reply(fault="hang")
            await provider.embed("0")
            await provider.embed("1")
        assert len(provider.calls) == 2

    @pytest.mark.parametrize("task", [TaskType.COMPLETION, TaskType.CHAT_COMPLETION])
    async def test_servers_of_chat_models_are_not_asked(self, task):
        async with answering(json_reply({"choices": []})) as provider:
            await provider.hugging_face.complete(provider.endpoint(task), "x", NO_DEADLINE)
            await told(provider)
        assert provider.server.asked == []

    async def test_nobody_is_asked_if_that_is_configured(self):
        async with answering(vectors, server_info=False) as provider:
            await provider.embed("0")
            await told(provider)
        assert provider.server.asked == []

    async def test_only_text_embeddings_inference_is_asked(self):
        async with answering(vectors) as provider:  # which does not say so in its answers
            await provider.embed(*"012")
            await told(provider)
            assert provider.server.asked == []

    async def test_nobody_is_asked_before_it_has_answered(self):
        async with answering(json_reply({"error": "no"}, 401)) as provider:
            await failing(provider.embed("0"))
            await told(provider)
        assert provider.server.asked == []

    async def test_what_a_refusal_has_shown_is_remembered(self):
        def at_most_three(call: Call) -> Reply:
            if len(call.json["inputs"]) > 3:
                text = "batch size 9 > maximum allowed batch size 3"
                return json_reply({"error": text, "error_type": "Validation"}, 422)
            return vectors(call)

        async with answering(at_most_three) as provider:
            await provider.embed(*"01234567")
            await provider.embed(*"01234567")
        assert [len(texts) for texts in inputs(provider)] == [8, 3, 3, 2, 3, 3, 2]

    async def test_batches_made_before_are_made_smaller(self):
        def at_most_three(call: Call) -> Reply:
            if len(call.json["inputs"]) > 3:
                return json_reply({"error": "batch size 4 > maximum allowed batch size 3"}, 422)
            return vectors(call)

        async with answering(at_most_three, max_batch_inputs=4, concurrency=1) as provider:
            assert await provider.embed(*"012345678") == [[float(n)] for n in range(9)]
        assert [len(texts) for texts in inputs(provider)] == [4, 3, 1, 3, 1, 1]

    async def test_a_server_that_takes_fewer_bytes_gets_fewer(self):
        def at_most(call: Call) -> Reply:
            if len(call.body) > 100_000:
                return Reply(status=413, headers={}, body=b"length limit exceeded")
            return json_reply([[1]] * len(call.json["inputs"]))

        async with answering(at_most) as provider:
            for _ in range(2):
                await provider.embed(*["x" * 40_000] * 4)
        assert [len(texts) for texts in inputs(provider)] == [4, 2, 2, 2, 2]


class TestSightings:
    async def test_the_name_of_the_model_is_seen_once_it_is_told(self):
        async with answering(vectors) as provider:
            provider.server.info = json_reply(INFO)
            endpoint = provider.endpoint()
            before = provider.hugging_face.sighting(endpoint)
            await provider.embed("0")
            await told(provider)
            after = provider.hugging_face.sighting(endpoint)
        assert before == Sighting(Model(), 0)
        assert after == Sighting(Model(model_id="intfloat/e5-small-v2", model_sha="ffb93f3b"), 0)

    @pytest.mark.parametrize(
        ("reply", "interruptions"),
        [
            (json_reply({"error": "starting"}, 503), 3),
            (Reply(fault="reset"), 3),
            (json_reply({"error": "gateway"}, 504), 1),
            (json_reply({"error": "too much"}, 429), 0),
            (json_reply({"error": "odd"}, 400), 0),
        ],
    )
    async def test_it_is_seen_that_a_server_was_away(self, reply, interruptions):
        async with answering(reply) as provider:
            await failing(provider.embed("0"))
            sighting = provider.hugging_face.sighting(provider.endpoint())
        assert sighting.interruptions == interruptions

    async def test_it_is_seen_although_a_call_waits_until_it_is_back(self, monkeypatch):
        monkeypatch.setattr(waking, "_FIRST_PAUSE", 0.01)
        starting = json_reply({"error": "Model is loading"}, 503)
        async with answering([starting, json_reply([[0.1]])], cold_start_wait=5) as provider:
            assert await provider.embed("0") == [[0.1]]
            sighting = provider.hugging_face.sighting(provider.endpoint())
        assert sighting.interruptions == 1


class TestLoad:
    async def test_a_busy_server_gets_fewer_calls_and_each_request_its_turn(self):
        """A request with a single text does not wait for all texts of a larger one."""
        order: list[str] = []
        refused = asyncio.Event()

        def busy_once(call: Call) -> Reply:
            texts = call.json["inputs"]
            if not refused.is_set() and texts == ["3"]:
                refused.set()
                return json_reply({"error": "Model is overloaded"}, 429)
            order.extend(texts)
            return json_reply([[float(texts[0])]], delay=0.01)

        async with answering(busy_once, max_batch_inputs=1) as provider:
            large = asyncio.ensure_future(provider.embed(*map(str, range(40))))
            await refused.wait()
            assert await provider.embed("99") == [[99]]
            assert order.index("99") < 15
            assert await large == [[float(n)] for n in range(40)]
            (known,) = provider.hugging_face._endpoints.known()
            assert known.usage.queue_seconds > 0.01


class TestAsking:
    @pytest.fixture
    def clock(self):
        return Clock()

    @asynccontextmanager
    async def servers(self, clock, info: Reply, egress: EgressConfig | None = None):
        session = provider_session(EgressConfig(), egress_rules(egress or EgressConfig()), most=9)
        async with FaultyServer(vectors) as stub, session:
            stub.info = info
            servers = Servers(session, ProviderConfig(), clock)
            yield stub, servers, make_endpoint(url=stub.url + "/e5/embed")
            await servers.close()

    async def test_one_that_nobody_has_called_for_a_while_may_have_been_away(self, clock):
        """Who is put in its place between two calls fails none of them."""
        async with self.servers(clock, json_reply(INFO)) as (_, servers, endpoint):
            seen = []
            for seconds in (1000, 59, 59, 60, 1, 500):
                clock.now += seconds
                servers.answered(endpoint, is_tei=True)
                seen.append(servers.of(endpoint).interruptions)
        assert seen == [0, 0, 0, 1, 1, 2]

    async def test_it_is_asked_again_after_a_while_or_after_a_failure(self, clock):
        async with self.servers(clock, json_reply(INFO)) as (stub, servers, endpoint):
            server = servers.of(endpoint)
            counts = []
            for seconds in (0, 890, 20, 10, 25):
                clock.now += seconds
                servers.answered(endpoint, is_tei=True)
                await asked(servers)
                counts.append(len(stub.asked))
                if seconds == 20:
                    server.may_have_changed()
        assert counts == [1, 1, 2, 2, 3]
        assert stub.asked[0].path == "/e5/info"

    async def test_another_model_replaces_what_was_known(self, clock, caplog):
        caplog.set_level(logging.INFO)
        async with self.servers(clock, json_reply(INFO)) as (stub, servers, endpoint):
            server = servers.of(endpoint)
            for info in (INFO, INFO, {"model_id": TOKEN}, "odd"):
                stub.info = json_reply(info)
                clock.now += 1000
                servers.answered(endpoint, is_tei=True)
                await asked(servers)
        assert server.info is None
        assert server.sizes.inputs == 32
        messages = [record.getMessage() for record in caplog.records]
        first, second = [one for one in messages if "is served by" in one]
        assert first.startswith(
            "inference endpoint [e1] is served by [intfloat/e5-small-v2] of revision [ffb93f3b], "
            "2 inputs in a call, 512 tokens in an input, longer ones are cut (text_embedding, "
        )
        assert "[********]" in second

    async def test_prefixes_of_a_known_model_are_offered_once(self, clock, caplog):
        caplog.set_level(logging.INFO)
        async with self.servers(clock, json_reply(INFO)) as (_, servers, endpoint):
            for _ in range(2):
                clock.now += 1000
                servers.answered(endpoint, is_tei=True)
                await asked(servers)
        (offer,) = [one.getMessage() for one in caplog.records if "prefixes" in one.getMessage()]
        assert '{"e1":{"search":"query: ","ingest":"passage: "}}' in offer

    @pytest.mark.parametrize(
        ("url", "settings", "task"),
        [
            ("/models/bge-m3/embed", {}, TaskType.TEXT_EMBEDDING),
            ("/models/e5-base/rerank", {}, TaskType.RERANK),
            ("/models/e5-base/embed", {"e*": {"search": ""}}, TaskType.TEXT_EMBEDDING),
        ],
    )
    async def test_they_are_not_where_they_are_not_wanted(self, clock, caplog, url, settings, task):
        caplog.set_level(logging.INFO)
        async with self.servers(clock, Reply(status=404)) as (stub, servers, _):
            servers._config = replace(servers._config, prefixes=Prefixes(settings))
            endpoint = make_endpoint(task, url=stub.url + url)
            servers.answered(endpoint, is_tei=True)
            await asked(servers)
        assert caplog.records == []

    async def test_the_url_may_name_the_model(self, clock, caplog):
        caplog.set_level(logging.INFO)
        async with self.servers(clock, Reply(status=404)) as (stub, servers, _):
            endpoint = make_endpoint(url=stub.url + "/models/BAAI/bge-small-en-v1.5")
            servers.answered(endpoint, is_tei=True)
            await asked(servers)
        assert "a model of the family [bge]" in caplog.records[0].getMessage()

    @pytest.mark.parametrize(
        "info",
        [
            json_reply(INFO, 201),
            json_reply(INFO, 500),
            Reply(status=302, headers={"Location": "/other/info"}),
            Reply(body=b"not JSON"),
            Reply(body=orjson.dumps({**INFO, "more": "x" * 65536})),
            Reply(fault="reset"),
            Reply(fault="reset_after", chunks=[b'{"model_id":']),
        ],
    )
    async def test_what_is_no_such_answer_says_nothing(self, clock, info):
        async with self.servers(clock, info) as (stub, servers, endpoint):
            server = servers.of(endpoint)
            servers.answered(endpoint, is_tei=True)
            await asked(servers)
        assert len(stub.asked) in (1, 2)  # a connection that is reset is tried again
        assert server.info is None

    async def test_egress_rules_hold(self, clock):
        forbidden = EgressConfig(allow=("models.test",))
        async with self.servers(clock, json_reply(INFO), forbidden) as (stub, servers, endpoint):
            servers.answered(endpoint, is_tei=True)
            await asked(servers)
        assert stub.asked == []

    async def test_no_caller_pays_for_it_or_must_be_allowed_it(self, clock):
        class Refusing:
            is_due = True

            async def confirm(self) -> None:
                raise AssertionError

            confirm_stream = confirm

        budget = MemoryBudget(1)
        async with self.servers(clock, json_reply(INFO)) as (_, servers, endpoint):
            server = servers.of(endpoint)
            with held(Refusing()), budget.request():
                servers.answered(endpoint, is_tei=True)
                await asked(servers)
        assert server.info == ServerInfo(
            model_id="intfloat/e5-small-v2",
            model_sha="ffb93f3b",
            max_inputs=2,
            max_tokens=512,
            truncates=True,
        )

    async def test_what_is_under_way_ends_with_the_process(self, clock):
        async with self.servers(clock, Reply(fault="hang")) as (_, servers, endpoint):
            servers.answered(endpoint, is_tei=True)
        assert not servers._asking

    async def test_servers_that_nobody_uses_are_forgotten(self, clock):
        async with self.servers(clock, json_reply(INFO)) as (_, servers, endpoint):
            used = servers.of(endpoint)
            used.places.take()
            for number in range(2500):
                servers.of(endpoint.with_service_settings(url=f"http://{number}/"))
            assert servers.of(endpoint) is used
        assert len(servers._servers) <= 1001
