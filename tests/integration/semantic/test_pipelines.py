"""`inference` processors of ingest pipelines, around processors of a real Elasticsearch."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import ClientSession

from tests.integration.semantic.ingesting import CALLS, UPPER, Caller, answer, calling, infer
from tests.support.processes import Serve
from tests.support.stubs import FaultyServer, in_thread


@pytest.fixture(scope="module")
def urls(serve_for_session: Serve, elasticsearch) -> Iterator[tuple[str, str]]:
    """Those of a proxy and of its provider."""
    with in_thread(FaultyServer(answer)) as provider:
        env = {
            "HFPROXY_SEMANTIC_ENABLED": "true",
            "HFPROXY_STORE_INDEX": f"hugging-face-inference-endpoints-{uuid4().hex[:8]}",
        }
        yield serve_for_session(upstream=elasticsearch.url, env=env).url, provider.url


@pytest.fixture
async def caller(urls) -> AsyncIterator[Caller]:
    url, provider = urls
    async with calling(url, provider) as caller:
        yield caller


@pytest.fixture
async def direct(caller, elasticsearch) -> AsyncIterator[Caller]:
    """A caller of Elasticsearch itself."""
    async with ClientSession() as session:
        yield Caller(session, elasticsearch.url, caller.name)


# Definitions


async def test_a_pipeline_is_shown_as_it_was_put(caller, direct):
    meta = {"mine": {"a": 1}}
    processors = [infer(tag="t", description="d"), UPPER, infer("last")]
    name = await caller.put("p", *processors, description="words", version=3, _meta=meta)
    for target in (f"/_ingest/pipeline/{name}", "/_ingest/pipeline"):
        status, found = await caller("GET", target)
        assert status == 200
        shown = {key: found[name][key] for key in ("processors", "description", "version", "_meta")}
        assert shown == {
            "processors": processors,
            "description": "words",
            "version": 3,
            "_meta": meta,
        }
        assert "xinf" not in json.dumps(found)
    _, stored = await direct("GET", f"/_ingest/pipeline/{name}")
    assert stored[name]["processors"] == [UPPER]


@pytest.mark.parametrize(
    ("processors", "kind", "reason"),
    [
        ([UPPER, infer(), UPPER], "illegal_argument_exception", "the first or the last"),
        ([infer(**{"if": "true"})], "illegal_argument_exception", "[if] is not possible"),
        (
            [{"inference": {"model_id": "i-embed", "input_output": []}}],
            "parse_exception",
            "[input_output] property cannot be empty at least one is required",
        ),
        ([infer(), {"nobody": {}}], "parse_exception", "No processor type exists with name"),
    ],
)
async def test_what_cannot_run_is_refused(caller, processors, kind, reason):
    body = {"processors": processors}
    status, told = await caller("PUT", f"/_ingest/pipeline/{caller.name}-p", body)
    assert (status, told["error"]["type"]) == (400, kind)
    assert reason in told["error"]["reason"]
    assert (await caller("GET", f"/_ingest/pipeline/{caller.name}-p"))[0] == 404


async def test_a_deleted_pipeline_is_forgotten_at_once(caller):
    name = await caller.put("p", infer())
    assert (await caller("DELETE", f"/_ingest/pipeline/{name}"))[0] == 200
    status, told = await caller("PUT", f"/{caller.name}/_doc/1?pipeline={name}", {"body": "x"})
    assert (status, CALLS) == (400, [])
    assert told["error"]["reason"] == f"pipeline with id [{name}] does not exist"


async def test_a_pipeline_of_another_proxy_is_known(caller, serve, elasticsearch, urls):
    name = await caller.put("p", infer())
    env = {
        "HFPROXY_SEMANTIC_ENABLED": "true",
        "HFPROXY_STORE_INDEX": f"hugging-face-inference-endpoints-{uuid4().hex[:8]}",
    }
    other = serve(upstream=elasticsearch.url, env=env)
    async with ClientSession() as session:
        second = Caller(session, other.url)
        status, told = await second("PUT", f"/{caller.name}/_doc/1?pipeline={name}", {"body": "x"})
    assert status == 404
    reason = "[i-embed] is not an inference service model or a deployed ml model"
    assert told["error"]["reason"] == reason


# Documents


async def test_processors_at_the_beginning_see_what_callers_send(caller):
    name = await caller.put("p", infer("deep.vector"), infer("second"), UPPER)
    body = b'{"n": 1.0, "body": "fox", "deep": {"k": 1e5}}'
    status, _ = await caller("PUT", f"/{caller.name}/_doc/1?pipeline={name}", body)
    assert status == 201
    found = await caller.source("1")
    assert found["body"] == "FOX"
    assert found["deep"] == {"k": 1e5, "model_id": "i-embed", "vector": [3.0, 1.0, 0.5]}
    assert (found["second"], found["model_id"]) == ([3.0, 1.0, 0.5], "i-embed")


async def test_processors_at_the_end_see_what_the_rest_has_made(caller):
    longer = {"set": {"field": "body", "value": "longer text"}}
    name = await caller.put("p", longer, infer())
    await caller("PUT", f"/{caller.name}/_doc/1?pipeline={name}", {"body": "x", "n": 1.0})
    assert CALLS == [["longer text"]]
    assert (await caller.source("1"))["vector"] == [11.0, 1.0, 0.5]
    status, told = await caller("POST", f"/{caller.name}/_doc?pipeline={name}", {"body": "x"})
    assert (status, len(told["_id"])) == (201, 20)


async def test_a_pipeline_may_move_a_document_and_drop_it(caller):
    elsewhere = {"set": {"field": "_index", "value": f"{caller.name}-other"}}
    moving = await caller.put("moving", elsewhere, infer())
    dropping = await caller.put("dropping", {"drop": {}}, infer())
    moved, dropped = await caller.bulk(
        {"index": {"_id": "1", "pipeline": moving}},
        {"body": "x"},
        {"index": {"_id": "2", "pipeline": dropping}},
        {"body": "x"},
    )
    assert (moved["_index"], moved["status"]) == (f"{caller.name}-other", 201)
    assert dropped["result"] == "noop"
    assert await caller.source("2") is None


async def test_documents_of_a_bulk_are_embedded_together_and_fail_alone(caller):
    name = await caller.put("p", infer(), UPPER)
    items = await caller.bulk(
        {"index": {"_id": "1"}},
        {"body": "a"},
        {"create": {"_id": "2", "pipeline": "_none"}},
        {"body": "plain"},
        {"index": {"_id": "3"}},
        {"body": 7},
        {"index": {"_id": "4"}},
        {"other": "x"},
        {"delete": {"_id": "9"}},
        {"index": {"_id": "5"}},
        {"body": "bbb"},
        query=f"&pipeline={name}",
    )
    assert [item["status"] for item in items] == [201, 201, 400, 400, 404, 201]
    assert CALLS == [["a", "bbb"]]
    reason = "input field [body] cannot be processed because it is not a text field"
    assert items[2]["error"] == {"type": "illegal_argument_exception", "reason": reason}
    assert items[3]["error"]["reason"] == "field [body] not present as part of path [body]"
    assert (await caller.source("5"))["vector"][0] == 3.0
    assert await caller.source("2") == {"body": "plain"}


async def test_a_text_that_the_provider_refuses_fails_its_document_only(caller):
    name = await caller.put("p", infer())
    lines: list[dict[str, Any]] = []
    for text in ("a", "b", "c", "BOOM", "d"):
        lines += [{"index": {}}, {"body": text}]
    items = await caller.bulk(*lines, query=f"&pipeline={name}")
    assert [item["status"] for item in items] == [201, 201, 201, 400, 201]


async def test_the_default_pipeline_of_an_index_runs(caller):
    name = await caller.put("p", infer())
    settings = {"settings": {"default_pipeline": name}, "aliases": {f"{caller.name}-alias": {}}}
    await caller("PUT", f"/{caller.name}", settings)
    await caller("PUT", f"/{caller.name}/_doc/1", {"body": "one"})
    await caller("PUT", f"/{caller.name}-alias/_doc/2", {"body": "one"})
    await caller("PUT", f"/{caller.name}/_doc/3?pipeline=_none", {"body": "one"})
    await caller.bulk({"index": {"_id": "4"}}, {"body": "one"})
    found = [await caller.source(one) for one in "1234"]
    assert ["vector" in one for one in found] == [True, True, False, True]


async def test_an_index_that_is_given_a_pipeline_is_known_at_once(caller):
    name = await caller.put("p", infer())
    await caller("PUT", f"/{caller.name}/_doc/1", {"body": "one"})
    settings = {"index.default_pipeline": name}
    await caller("PUT", f"/{caller.name}/_settings", settings)
    await caller("PUT", f"/{caller.name}/_doc/2", {"body": "one"})
    assert "vector" in await caller.source("2")
    await caller("DELETE", f"/{caller.name}")
    await caller("PUT", f"/{caller.name}")
    await caller("PUT", f"/{caller.name}/_doc/3", {"body": "one"})
    await caller("DELETE", f"/{caller.name}")
    await caller("PUT", f"/{caller.name}", {"settings": settings})
    await caller("PUT", f"/{caller.name}/_doc/4", {"body": "one"})
    assert "vector" in await caller.source("4")


@pytest.mark.parametrize("kind", ["_index_template", "_template"])
async def test_the_default_pipeline_of_a_template_runs_for_the_first_document(caller, kind):
    name = await caller.put("p", infer())
    settings: dict[str, Any] = {"settings": {"index.default_pipeline": name}}
    body: dict[str, Any] = {"index_patterns": [f"{caller.name}*"]}
    body |= {"template": settings, "priority": 500} if kind == "_index_template" else settings
    assert (await caller("PUT", f"/{kind}/{caller.name}", body))[0] == 200
    await caller("PUT", f"/{caller.name}/_doc/1", {"body": "one"})
    await caller("DELETE", f"/{kind}/{caller.name}")
    assert "vector" in await caller.source("1")


async def test_the_beginning_of_a_final_pipeline_sees_what_the_main_one_has_made(caller):
    main = await caller.put("main", {"set": {"field": "body", "value": "from main"}})
    final = await caller.put("final", infer(), UPPER)
    await caller("PUT", f"/{caller.name}", {"settings": {"final_pipeline": final}})
    await caller("PUT", f"/{caller.name}/_doc/1?pipeline={main}", {"body": "x"})
    await caller("PUT", f"/{caller.name}/_doc/2", {"body": "x"})
    assert CALLS == [["from main"], ["x"]]
    assert (await caller.source("1"))["body"] == "FROM MAIN"


async def test_what_would_be_skipped_is_told(caller):
    ending = await caller.put("p", UPPER, infer())
    await caller("PUT", f"/{caller.name}", {"settings": {"final_pipeline": ending}})
    status, told = await caller("PUT", f"/{caller.name}/_doc/1", {"body": "x"})
    assert status == 400
    assert "cannot be the final pipeline of an index" in told["error"]["reason"]
    status, told = await caller("POST", "/_ingest/_simulate", {"docs": [{"_index": caller.name}]})
    assert status == 400
    assert "cannot be simulated" in told["error"]["reason"]


async def test_an_update_that_inserts_nothing_is_none_of_its_business(caller):
    name = await caller.put("p", infer())
    await caller("PUT", f"/{caller.name}", {"settings": {"default_pipeline": name}})
    await caller("PUT", f"/{caller.name}/_doc/1", {"body": "x"})
    status, _ = await caller("POST", f"/{caller.name}/_update/1", {"doc": {"k": 1}})
    assert status == 200
    assert (await caller.source("1"))["k"] == 1


@pytest.mark.parametrize("processors", [(infer(), UPPER), (UPPER, infer())])
@pytest.mark.parametrize(
    "update",
    [
        {"doc": {"body": "fox"}, "doc_as_upsert": True},
        {"doc": {"body": "fox"}, "doc_as_upsert": True, "upsert": {"body": "unused"}},
        {"script": {"source": "unused"}, "upsert": {"body": "fox"}},
    ],
)
async def test_what_an_update_inserts_goes_through_pipelines(caller, processors, update):
    name = await caller.put("p", *processors)
    await caller("PUT", f"/{caller.name}", {"settings": {"default_pipeline": name}})
    if "script" in update:  # the distribution has no language for it
        del update["script"]
        update["doc"] = {"body": "not this"}
    status, told = await caller("POST", f"/{caller.name}/_update/1", update)
    assert status == 201, told
    expected = {"body": "FOX", "vector": [3.0, 1.0, 0.5], "model_id": "i-embed"}
    assert await caller.source("1") == expected
    if "doc_as_upsert" in update:
        again = {**update, "doc": {"body": "geese"}}
        (item,) = await caller.bulk({"update": {"_id": "1"}}, again)
        assert (item["status"], item["result"]) == (200, "updated")
        assert (await caller.source("1"))["vector"] == [5.0, 1.0, 0.5]


async def test_reindex_runs_the_pipeline_of_its_destination(caller):
    name = await caller.put("p", infer())
    await caller("PUT", f"/{caller.name}-plain/_doc/1?refresh=true", {"body": "one"})
    body = {
        "source": {"index": f"{caller.name}-plain"},
        "dest": {"index": caller.name, "pipeline": name},
    }
    status, told = await caller("POST", "/_reindex", body)
    assert (status, told["created"]) == (200, 1)
    assert (await caller.source("1"))["vector"] == [3.0, 1.0, 0.5]


async def test_semantic_fields_are_filled_from_what_pipelines_have_made(caller):
    longer = await caller.put("longer", {"set": {"field": "body", "value": "longer text"}})
    field = {"type": "semantic_text", "inference_id": "i-embed"}
    mappings = {"properties": {"body": field, "vector": {"type": "float"}}}
    await caller("PUT", f"/{caller.name}", {"mappings": mappings})
    await caller("PUT", f"/{caller.name}/_doc/1?pipeline={longer}", {"body": "x"})
    assert CALLS == [["longer text"]]
    both = await caller.put("both", infer(), {"set": {"field": "body", "value": "other"}})
    (item,) = await caller.bulk(
        {"index": {"_id": "2", "pipeline": both}}, {"body": "x"}, query="&pipeline=_none"
    )
    assert item["status"] == 201
    assert CALLS[1:] == [["x"], ["other"]]


async def test_semantic_fields_are_filled_from_what_a_final_pipeline_will_make(caller, direct):
    final = await caller.put("final", infer(), {"set": {"field": "body", "value": "in the end"}})
    field = {"type": "semantic_text", "inference_id": "i-embed"}
    mappings = {"properties": {"body": field, "vector": {"type": "float"}}}
    settings = {"final_pipeline": final}
    await caller("PUT", f"/{caller.name}", {"mappings": mappings, "settings": settings})
    await caller("PUT", f"/{caller.name}/_doc/1", {"body": "x"})
    upsert = {"doc": {"body": "unused"}, "upsert": {"body": "yy"}}
    assert (await caller("POST", f"/{caller.name}/_update/2", upsert))[0] == 201
    assert CALLS == [["x"], ["in the end"], ["yy"], ["in the end", "unused"]] or CALLS == [
        ["x"],
        ["in the end"],
        ["yy"],
        ["unused", "in the end"],
    ]
    for document_id, length in (("1", 1.0), ("2", 2.0)):
        stored = await direct.source(document_id)
        assert (stored["body"], stored["vector"][0]) == ("in the end", length)
        (chunk,) = stored["xinf"]["body"]["chunks"]
        assert (chunk["start"], chunk["end"]) == (0, len("in the end"))


# Failures


async def test_handlers_are_told_of_the_failure(caller):
    told = ["message", "processor_type", "processor_tag", "pipeline"]
    handlers = [{"set": {"field": one, "copy_from": f"_ingest.on_failure_{one}"}} for one in told]
    name = await caller.put("p", infer(tag="mine", on_failure=handlers))
    await caller("PUT", f"/{caller.name}/_doc/1?pipeline={name}", {"body": 7})
    assert await caller.source("1") == {
        "body": 7,
        "message": "input field [body] cannot be processed because it is not a text field",
        "processor_type": "inference",
        "processor_tag": "mine",
        "pipeline": name,
    }


async def test_a_handler_may_drop_the_document(caller):
    name = await caller.put("p", infer(on_failure=[{"drop": {}}]))
    dropped, written = await caller.bulk(
        {"index": {"_id": "1"}},
        {"body": 7},
        {"index": {"_id": "2"}},
        {"body": "x"},
        query=f"&pipeline={name}",
    )
    assert (dropped["result"], written["result"]) == ("noop", "created")
    body = {"docs": [{"_source": {"body": 7}}]}
    status, told = await caller("POST", f"/_ingest/pipeline/{name}/_simulate", body)
    assert (status, told["docs"]) == (200, [None])


@pytest.mark.parametrize("action", [{"index": {}}, {"index": {"_id": "1"}}])
@pytest.mark.parametrize("document", [{"body": "dropped"}, {"other": "fails"}])
async def test_pipelines_end_documents_as_elasticsearch_does(caller, direct, action, document):
    plain = await caller.put("plain", UPPER, {"drop": {}})
    ours = await caller.put("ours", UPPER, {"drop": {}}, infer())
    (expected,) = await direct.bulk(action, document, query=f"&pipeline={plain}")
    (item,) = await caller.bulk(action, document, query=f"&pipeline={ours}")
    assert item == expected


async def test_failures_are_ignored_or_handled(caller):
    handler = {"set": {"field": "failed", "value": True}}
    ignoring = await caller.put("ignoring", infer(ignore_failure=True), UPPER)
    handling = await caller.put("handling", infer(on_failure=[handler]), UPPER)
    ending = await caller.put("ending", infer(), UPPER, on_failure=[handler])
    for number, name in enumerate((ignoring, handling, ending)):
        target = f"/{caller.name}/_doc/{number}?pipeline={name}"
        assert (await caller("PUT", target, {"body": "bOOM BOOM"}))[0] == 201
    assert await caller.source("0") == {"body": "BOOM BOOM"}
    assert await caller.source("1") == {"body": "BOOM BOOM", "failed": True}
    assert await caller.source("2") == {"body": "bOOM BOOM", "failed": True}


async def test_a_failure_of_the_rest_is_told(caller):
    name = await caller.put("p", UPPER, infer())
    status, told = await caller("PUT", f"/{caller.name}/_doc/1?pipeline={name}", {"k": 1})
    assert (status, told["error"]["type"]) == (400, "illegal_argument_exception")
    assert told["error"]["reason"] == "field [body] not present as part of path [body]"
    assert CALLS == []


async def test_an_endpoint_with_documents_as_input_is_told(caller):
    older = {"inference": {"model_id": "i-embed", "field_map": {"body": "text_field"}}}
    name = await caller.put("p", older)
    status, told = await caller("PUT", f"/{caller.name}/_doc/1?pipeline={name}", {"body": "x"})
    assert status == 400
    reason = "[i-embed] is configured for the _inference API and does not accept documents as input"
    assert told["error"]["reason"].startswith(reason)


# Simulation


async def test_a_stored_pipeline_is_simulated(caller):
    name = await caller.put("p", infer("first"), UPPER, infer("last"))
    body = {"docs": [{"_index": "i", "_id": "1", "_source": {"body": "fox"}}, {"_source": {}}]}
    status, told = await caller("POST", f"/_ingest/pipeline/{name}/_simulate", body)
    assert status == 200
    made, failed = told["docs"]
    assert (made["doc"]["_index"], made["doc"]["_id"]) == ("i", "1")
    assert made["doc"]["_source"] == {
        "body": "FOX",
        "first": [3.0, 1.0, 0.5],
        "last": [3.0, 1.0, 0.5],
        "model_id": ["i-embed", "i-embed"],
    }
    assert failed["error"]["reason"] == "field [body] not present as part of path [body]"


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_pipeline_of_the_request_is_simulated(caller, method):
    body = {"pipeline": {"processors": [infer(), UPPER]}, "docs": [{"_source": {"body": "fox"}}]}
    status, told = await caller(method, "/_ingest/pipeline/_simulate", body)
    assert status == 200
    assert told["docs"][0]["doc"]["_source"]["body"] == "FOX"
    assert told["docs"][0]["doc"]["_source"]["vector"] == [3.0, 1.0, 0.5]
    status, told = await caller(method, "/_ingest/pipeline/_simulate?verbose=true", body)
    assert (status, told["error"]["type"]) == (400, "illegal_argument_exception")


async def test_completions_are_written_as_texts(caller, urls):
    settings = {"url": f"{urls[1]}/v1/chat/completions", "api_key": "x", "model_id": "m"}
    endpoint = {"service": "hugging_face", "service_settings": settings}
    status, told = await caller("PUT", "/_inference/completion/i-complete", endpoint)
    assert status == 200, told
    pair = {"input_field": "body", "output_field": "summary"}
    name = await caller.put("p", {"inference": {"model_id": "i-complete", "input_output": pair}})
    await caller("PUT", f"/{caller.name}/_doc/1?pipeline={name}", {"body": "hi"})
    assert (await caller.source("1"))["summary"] == "re: hi"
