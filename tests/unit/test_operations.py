"""docs/operations.md shows what the proxy really writes."""

from __future__ import annotations

import copy
import json
import logging
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp.test_utils import TestClient, TestServer

from proxy.admin import Health, admin_application
from proxy.api.changes import log_change
from proxy.api.counting import log_limit, log_request
from proxy.app import Facts
from proxy.config import Config, UpstreamConfig
from proxy.config.prices import Prices
from proxy.ground.errors import KeyMismatch, StatusError
from proxy.huggingface.calls import Refusal, log_call
from proxy.huggingface.failurelog import FailureLog
from proxy.huggingface.failures import failure
from proxy.huggingface.hints import advice_on
from proxy.huggingface.info import ServerInfo
from proxy.huggingface.knownmodels import known_model
from proxy.huggingface.observing import Observer
from proxy.huggingface.servers import log_prefixes, log_server
from proxy.huggingface.states import State
from proxy.huggingface.waking import log_started, log_starting
from proxy.inference.endpoints import InferenceEndpoint
from proxy.inference.fingerprints import Model
from proxy.inference.guard import Drift, log_drift
from proxy.serving.summary import report_start
from proxy.store.sealed import Keyring
from proxy.telemetry import logs
from proxy.telemetry.endpoints import Endpoint, Endpoints, Tokens
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.storms import Storms
from tests.support.clock import Clock
from tests.support.samples import PROFILE, headers_of, make_endpoint
from tests.unit.api.test_handlers import call_of

PAGE: Final = (Path(__file__).parent.parent.parent / "docs" / "operations.md").read_text("utf-8")
BLOCKS: Final = re.findall(r"^```(text|json)\n(.*?)\n```$", PAGE, re.MULTILINE | re.DOTALL)
LINES: Final = [line for kind, text in BLOCKS if kind == "text" for line in text.splitlines()]
DOCUMENTS: Final[list[Any]] = [json.loads(text) for kind, text in BLOCKS if kind == "json"]
STAMP: Final = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ")
ENDPOINT: Final = make_endpoint(inference_id="my-embeddings", url="http://tei:8080/embed?key=x")

SERVER: Final = ServerInfo(
    model_id="intfloat/e5-small-v2",
    model_sha="ffb93f3bd4047442299a41ebb6fa998a38507c52",
    max_inputs=32,
    max_tokens=512,
    truncates=True,
)


def bare(line: str) -> str:
    """A line without what differs from one time to another."""
    return re.sub(r"^(INFO) version \S+ at ", r"\1 version at ", STAMP.sub("", line))


def happen() -> None:
    """Everything that the page tells of."""
    logging.getLogger("proxy.serving.process").info("listening on http://0.0.0.0:9201")
    config = Config(upstream=UpstreamConfig(url="http://es:9200"))
    facts = Facts(upstream_version="9.2.4", security=False, endpoints=3)
    report_start(config, "http://0.0.0.0:9201", facts)
    call = call_of()
    call.user = "elastic"
    for change in ("created", "deleted"):
        log_change(call, change, ENDPOINT.inference_id, ENDPOINT.task_type)
    call.rest = replace(call.rest, headers=headers_of({"X-Opaque-Id": "deploy-42"}))
    log_change(call, "changed", ENDPOINT.inference_id, ENDPOINT.task_type)
    fail(ENDPOINT)
    change_state()
    log_limit("streams", 0)
    log_server(ENDPOINT, SERVER)
    family = known_model(SERVER.model_id)
    assert family is not None
    log_prefixes(ENDPOINT, family)
    before, now = (Model(model_id=name) for name in (SERVER.model_id, "BAAI/bge-small-en-v1.5"))
    log_drift(ENDPOINT, Drift(before, now, 0.873), refused=True)
    log_starting(ENDPOINT, 600.0)
    log_started(ENDPOINT, 93.6)
    log_call(ENDPOINT, "200", 0.0118)
    log_request("POST", "infer", "200", 0.0125)


def fail(endpoint: InferenceEndpoint) -> None:
    minutes: list[Any] = []
    storms = Storms(lambda _, call, kind, /: minutes.append((call, kind)))
    failures = FailureLog(storms, Observer(Endpoints(), storms))
    refusal = Refusal(429, b'{"error": "Model is overloaded"}')
    failures.failed(endpoint, failure(endpoint, refusal, PROFILE).error)
    for _ in range(41):
        failures.failed(endpoint, StatusError(408, "no result in time"))
    for call, kind in minutes[:]:
        call(kind)


def change_state() -> Endpoint:
    """A provider that is paused, and works again."""
    clock = Clock()
    clock.now = datetime(2026, 7, 1, 7, 30, tzinfo=UTC).timestamp()
    endpoints = Endpoints(prices=Prices(["*=0.02"]), clock=clock)
    observer = Observer(endpoints, Storms(lambda *_: None))
    hosted = "https://x.us-east-1.aws.endpoints.huggingface.cloud"
    endpoint = make_endpoint(inference_id="my-embeddings", url=hosted)
    observer.succeeded(endpoint)
    observer.succeeded(endpoint)
    clock.now += 5400
    refusal = Refusal(400, b'{"error": "Bad Request: The endpoint is paused"}')
    observer.failed(endpoint, advice_on(endpoint, refusal))
    paused = copy.deepcopy(endpoints.of("my-embeddings", "text_embedding"))
    observer = Observer(endpoints, Storms(lambda *_: None))
    clock.now += 240
    observer.succeeded(endpoint)
    return paused


@pytest.fixture
def records(caplog):
    caplog.set_level(logging.DEBUG, "proxy")
    happen()
    return caplog.records


def test_every_line_is_one_that_the_proxy_writes(records):
    formatter = logs.text_formatter()
    written = {bare(formatter.format(record)) for record in records}
    assert {bare(line) for line in LINES} == written


def test_every_event_is_in_the_table_with_its_fields(records):
    table = dict(re.findall(r"^\| (`[a-z-]+`.*?) \| (.*) \|$", PAGE, re.MULTILINE))
    for record in records:
        fields = vars(record)
        if "event.action" not in fields:
            continue
        (row,) = [
            named for actions, named in table.items() if f"`{fields['event.action']}`" in actions
        ]
        own = {name for name in fields if "." in name} - {"event.action", "event.outcome"}
        assert {name for name in own if f"`{name}`" not in row} == set()


def test_the_json_is_one_that_the_proxy_writes(records):
    (shown,) = [document for document in DOCUMENTS if "@timestamp" in document]
    formatter = logs.ecs_formatter()
    written = [json.loads(formatter.format(record)) for record in records]
    for document in (shown, *written):
        document.pop("@timestamp")
    assert shown in written


async def test_the_endpoints_are_shown_as_the_proxy_shows_them(caplog):
    (shown,) = [document for document in DOCUMENTS if "endpoints" in document]
    metrics = Metrics(Endpoints(prices=Prices(["*=0.02"])))
    paused, known = change_state(), metrics.endpoints.of("my-embeddings", "text_embedding")
    for name in ("state", "since", "last_call", "last_error", "usage"):
        setattr(known, name, getattr(paused, name))
    known.usage.calls, known.usage.characters = 3, 18_000
    metrics.endpoints.count_tokens("my-embeddings", known.usage, Tokens(4200))
    known.usage.queue_seconds, known.usage.provider_seconds = 0.04, 0.31
    known.usage.provider_queue_seconds, known.usage.compute_seconds = 0.002, 0.19
    app = admin_application(Health({}), metrics)
    async with TestClient(TestServer(app)) as client, client.get("/endpoints") as answer:
        assert await answer.json() == shown


def test_every_state_is_in_the_table():
    (table,) = re.findall(r"^\| state \|.*?\n\n", PAGE, re.MULTILINE | re.DOTALL)
    named = {
        name
        for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
        for name in re.findall(r"`([a-z_]+)`", row)
    }
    assert named == {str(state) for state in State}


async def test_the_answers_about_health_are_those_of_the_proxy():
    def mismatch() -> str:
        name = "hugging-face-inference-endpoints"
        with pytest.raises(KeyMismatch) as error:
            Keyring(b"k" * 32).check({"b4b7f88d3f2b4e25"}, name)
        return error.value.reason

    async def passing() -> None: ...

    async def failing() -> None:
        raise KeyMismatch(mismatch())

    async def answer(store: Any) -> Any:
        app = admin_application(Health({"store": store, "upstream": passing}), Metrics(Endpoints()))
        async with TestClient(TestServer(app)) as client, client.get("/readyz") as got:
            return await got.json()

    own_key = re.compile(r"at hand is \[[0-9a-f]{16}\]")
    shown = [json.dumps(one) for one in DOCUMENTS if "status" in one]
    written = [json.dumps(await answer(store)) for store in (passing, failing)]
    assert [own_key.sub("", one) for one in shown] == [own_key.sub("", one) for one in written]
