"""What has nothing to do with semantic fields is answered as by the upstream itself."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import cbor2
import pytest
import yaml

from testbed.elasticsearch import Elasticsearch
from tests.integration.semantic.meaningful import Place, field, place
from tests.support.processes import Serve
from tests.support.rawhttp import Answer, send

PREFIX: Final = "t-untouched"
PLAIN: Final = f"{PREFIX}-plain"
PIPELINE: Final = f"/_ingest/pipeline/{PREFIX}"
TEMPLATE: Final = f"/_index_template/{PREFIX}"
COMPONENT: Final = f"/_component_template/{PREFIX}"
# Names of fields that YAML, or a reader of our own answers, could take for something else.
MAPPINGS: Final = {
    "properties": {"t": {"type": "text"}, "n": {"type": "long"}, "y": {"type": "keyword"}}
}
DOCUMENT: Final = {"t": "hello", "n": 12345678901234567, "y": "true", "f": 1.0}
JSON: Final = [("Content-Type", "application/json")]
OF_THE_MOMENT: Final = re.compile(rb"(?<=took)[\"' ]*:\s*\d+")
OF_THE_CONNECTION: Final = ("connection", "content-length", "date", "transfer-encoding")

FORMS: Final = ("", "?pretty", "?human", "?human&pretty", "?format=yaml", "?format=cbor", "?foo=1")
SHOWN: Final = (
    f"/{PLAIN}",
    f"/{PLAIN}/_mapping",
    f"/{PLAIN}/_mapping/field/t",
    f"/{PLAIN}/_doc/1",
    f"/{PLAIN}/_doc/99",
    f"/{PLAIN}/_source/1",
    f"/{PLAIN}/_search",
    f"/{PLAIN}/_count",
    f"/{PLAIN}/_field_caps?fields=*",
    f"/{PLAIN}/_validate/query?q=t:hello",
    f"/{PLAIN}/_explain/1?q=t:hello",
    f"/{PLAIN}-no",
    f"/{PLAIN}-no/_search",
    PIPELINE,
    f"{PIPELINE}-no",
    TEMPLATE,
    f"{TEMPLATE}-no",
    COMPONENT,
    f"{COMPONENT}-no",
    f"/_template/{PREFIX}",
    "/_tasks/no:1",
    f"/_tasks?actions={PREFIX}",
    "/_search/scroll?scroll_id=no",
    f"/_data_stream/{PREFIX}",
    f"/_cluster/state/metadata/{PLAIN}?filter_path=metadata.indices.*.settings",
    "/_msearch",
    "/_msearch/template",
    "/_rank_eval",
    "/_mget",
)
GETS: Final = [
    path + (form if "?" not in path else form.replace("?", "&", 1))
    for path in SHOWN
    for form in FORMS
]
HEADS: Final = (f"/{PLAIN}", f"/{PLAIN}-no", f"/{PLAIN}/_doc/1", f"/{PLAIN}/_doc/99", TEMPLATE)


@pytest.fixture(scope="module")
def here(
    serve_for_session: Serve, elasticsearch: Elasticsearch
) -> Iterator[tuple[Elasticsearch, Place]]:
    made: dict[str, Any] = {
        f"/{PLAIN}": {"mappings": MAPPINGS},
        f"/{PLAIN}/_doc/1?refresh=true": DOCUMENT,
        PIPELINE: {"processors": [{"set": {"field": "n", "value": 1}}], "_meta": {"y": 1}},
        TEMPLATE: {"index_patterns": [f"{PREFIX}-template-*"], "template": {"mappings": MAPPINGS}},
        COMPONENT: {"template": {"mappings": MAPPINGS}},
    }
    with place(serve_for_session, elasticsearch, PREFIX) as found:
        found.index("semantic", {"1": {"body": "sea"}}, body=field(found.endpoint("e")))
        for target, body in made.items():
            answer = send(elasticsearch.url, "PUT", target, JSON, json.dumps(body).encode())
            assert answer.status in (200, 201), answer.text
        yield elasticsearch, found
        for target in (PIPELINE, TEMPLATE, COMPONENT):
            send(elasticsearch.url, "DELETE", target)


def seen(answer: Answer) -> tuple[int, list[tuple[str, str]], bytes]:
    """All that a caller can tell an answer by."""
    headers = sorted((name.lower(), value) for name, value in answer.headers)
    kept = [(name, value) for name, value in headers if name not in OF_THE_CONNECTION]
    return answer.status, kept, OF_THE_MOMENT.sub(b"", _read(answer))


def _read(answer: Answer) -> bytes:
    """The body as it came; in formats that leave several ways to write a value, what it says."""
    media = answer.header("content-type") or ""
    if "cbor" in media:
        return repr(cbor2.loads(answer.content)).encode()
    return repr(yaml.safe_load(answer.content)).encode() if "yaml" in media else answer.content


def differences(
    here: tuple[Elasticsearch, Place], method: str, targets: Any, body: bytes | None = None
) -> list[str]:
    """The requests that the proxy answers otherwise."""
    elasticsearch, found = here
    sent = [] if body is None else JSON
    return [
        target
        for target in targets
        if seen(send(elasticsearch.url, method, target, sent, body))
        != seen(send(found.client.url, method, target, sent, body))
    ]


def test_what_is_shown(here):
    assert differences(here, "GET", GETS) == []


def test_whether_it_is_there(here):
    assert differences(here, "HEAD", HEADS) == []


@pytest.mark.parametrize("body", [b"", b"{}", b"[", b'{"query":{"no":{}}}'])
def test_what_is_asked(here, body):
    targets = [f"/{PLAIN}/{of}" for of in ("_search", "_count", "_validate/query", "_explain/1")]
    assert differences(here, "POST", targets, body) == []


def test_sources_are_shown_as_they_were_written(here):
    elasticsearch, _ = here
    document = b'{"f":  1.10, "t": "hello"}'
    send(elasticsearch.url, "PUT", f"/{PLAIN}/_doc/2", JSON, document)
    stored = [{"_index": PLAIN, "_id": "2", "stored_fields": "t"}, {"_id": "2", "_source": "f"}]
    bodies: list[Any] = [{"ids": ["2", "no"]}, {"docs": stored}, {"docs": [{"_id": 2}, 3]}, {}]
    for body in bodies:
        sent = json.dumps(body).encode()
        assert differences(here, "POST", [f"/{PLAIN}/_mget", "/_mget"], sent) == []
    send(elasticsearch.url, "DELETE", f"/{PLAIN}/_doc/2?refresh=true")


SEARCHES: Final = {"_search?size=9999": None, "_msearch": b'{}\n{"size": 9999}\n'}


@pytest.mark.parametrize("target", SEARCHES)
def test_searches_of_clusters_that_are_nowhere_are_of_this_one(here, target):
    _, found = here
    answer = found.client("POST", f"/*:no/{target}", SEARCHES[target])
    assert answer.status == 200
    (document,) = answer.document.get("responses", [answer.document])
    # Other tests have indices, too, and fields of any name.
    hits = [hit for hit in document["hits"]["hits"] if hit["_index"].startswith(PREFIX)]
    assert {hit["_index"] for hit in hits} == {PLAIN, f"{PREFIX}-semantic"}
    assert "xinf" not in json.dumps(hits)


@pytest.mark.parametrize("target", [f"{PREFIX}-*/_search", "_msearch"])
def test_documents_with_odd_values_are_no_fault(here, target):
    elasticsearch, found = here
    name = f"/{PREFIX}-odd"
    send(elasticsearch.url, "PUT", name, JSON, b'{"mappings":{"enabled":false}}')
    odd = b'{"big":1e400,"half":"\\ud83d"}'
    assert send(elasticsearch.url, "PUT", f"{name}/_doc/1?refresh=true", JSON, odd).status == 201
    header = json.dumps({"index": f"{PREFIX}-*"}).encode()
    lines = header + b'\n{"size":99}\n'
    status = found.client("POST", f"/{target}", lines if target == "_msearch" else {}).status
    send(elasticsearch.url, "DELETE", name)
    assert status == 200


def test_fields_of_clusters_that_are_nowhere_are_those_of_this_one(here):
    _, found = here
    answer = found.client("POST", "/*:no/_field_caps?fields=*")
    assert PLAIN in answer.document["indices"]
    assert not [name for name in answer.document["fields"] if name.startswith("xinf")]
