"""Which raw targets the semantic layer looks at."""

from __future__ import annotations

import pytest

from proxy.ground.epoch import Epoch
from proxy.semantic.discovery import Declared
from proxy.semantic.interception import Interceptor, changes, writes_documents
from proxy.semantic.registry import Registry, Snapshot
from proxy.semantic.upstreamrelease import UpstreamRelease


def interceptor(*plain: str, declared: Declared | None) -> Interceptor:
    registry = Registry(None, 1.0, Epoch())  # type: ignore[arg-type] # it is asked nothing
    if declared is not None:
        registry.know(Snapshot(state="s", declared=declared))
    for name in plain:
        registry.snapshot.plain.keep(name, None)
    return Interceptor(registry, UpstreamRelease(None))  # type: ignore[arg-type]


NONE = Declared(indices=frozenset(), templates=False)
SOME = Declared(indices=frozenset(["notes"]), templates=False)
DECLARING = [
    (b"PUT", b"/notes"),
    (b"PUT", b"/notes/"),
    (b"PUT", b"/notes?wait_for_active_shards=1"),
    (b"PUT", b"/%3Cnotes-%7Bnow%2Fd%7D%3E"),
    (b"PUT", b"/notes/_mapping"),
    (b"POST", b"/notes/_mappings?pretty"),
    (b"PUT", b"/_mapping/notes"),
    (b"POST", b"/notes/_rollover"),
    (b"POST", b"/notes/_rollover/next"),
    (b"PUT", b"/_index_template/t"),
    (b"PUT", b"/_component_template/t"),
    (b"PUT", b"/_template/t"),
    (b"POST", b"/_index_template/_simulate"),
    (b"PUT", b"/_ingest/pipeline/p"),
    (b"PUT", b"/_data_stream/d/_mappings"),
    (b"POST", b"/_snapshot/r/s/_restore"),
    (b"POST", b"/_snapshot/r/s/_mount?x"),
]
TASKS = [
    (b"GET", b"/_tasks/hugging-face-proxy-0a1b2c3d:7"),
    (b"POST", b"/_tasks/hugging-face-proxy-0a1b2c3d:7/_cancel"),
]
OTHERS = [
    (b"GET", b"/notes"),
    (b"GET", b"/notes/_search"),
    (b"POST", b"/_bulk"),
    (b"POST", b"/notes/_doc"),
    (b"PUT", b"/notes/_doc/1"),
    (b"PUT", b"/notes/_settings"),
    (b"GET", b"/_index_template/t"),
    (b"DELETE", b"/notes"),
    (b"POST", b"/_aliases"),
    (b"PUT", b"/_snapshot/r/s"),
    (b"GET", b"/_snapshot/r/s/_restore"),
    (b"GET", b"/_ml/trained_models/m"),
    (b"POST", b"/_ml/trained_models/m/deployment/_start"),
    (b"GET", b"/"),
    (b"HEAD", b"/notes"),
    (b"GET", b"/_tasks/oTUltX4IQMOUUVeiohTt8A:7"),
    (b"GET", b"/_tasks"),
]


@pytest.mark.parametrize("declared", [NONE, SOME])
@pytest.mark.parametrize("rest", [b"_infer", b"deployment/_infer?timeout=1s"])
def test_models_that_may_be_endpoints_are_always_looked_at(declared, rest):
    assert interceptor(declared=declared).takes(b"POST", b"/_ml/trained_models/m/" + rest)


@pytest.mark.parametrize(("method", "target"), DECLARING)
def test_what_may_declare_or_bring_a_field_is_always_looked_at(method, target):
    assert interceptor(declared=NONE).takes(method, target)
    assert interceptor("notes", declared=SOME).takes(method, target)
    assert changes(method, target)


@pytest.mark.parametrize(("method", "target"), TASKS)
@pytest.mark.parametrize("declared", [NONE, SOME])
def test_tasks_of_proxies_are_always_looked_at(declared, method, target):
    assert interceptor(declared=declared).takes(method, target)


@pytest.mark.parametrize(("method", "target"), OTHERS)
def test_without_any_field_everything_else_is_let_through(method, target):
    assert not interceptor(declared=NONE).takes(method, target)


@pytest.mark.parametrize(("method", "target"), OTHERS[1:4])
def test_before_the_first_look_every_name_may_have_fields(method, target):
    assert interceptor(declared=None).takes(method, target)


@pytest.mark.parametrize(
    "target",
    [
        b"/notes/_search",
        b"/notes",
        b"/unheard-of/_search",
        b"/plain,notes/_search",
        b"/plain,/_search",
        b"/plain::failures/_search",
        b"/%3Cplain%3E/_search",
        b"/plain*/_search",
        b"/_all/_search",
        b"/_search",
        b"/_search/scroll",
        b"/_bulk",
        b"/_mget",
        b"/_msearch",
        b"/_async_search/some-id",
        b"/_nodes/hot_threads",
        b"/_tasks?detailed",
        b"/_alias/x",
        b"/_cluster/state",
        b"/_cluster/state/metadata/notes?filter_path=x",
        b"/_cat/tasks?detailed",
        b"/_ml/datafeeds/d/_preview",
        b"/_transform/_preview",
        b"/_ingest/_simulate",
        b"/_application/search_application/a/_search",
        b"/_resolve/index/*",
        b"/_unheard-of",
        b"/_query/async/some-id",
        b"//_search",
        b"//",
        b"/plain/_mget?source=x&source_content_type=application/json",
        b"/plain/_msearch?%73ource=x",
        b"/plain/_search?source=%7B%22semantic%22",
    ],
)
def test_what_may_show_a_field_is_looked_at_once_there_is_one(target):
    assert interceptor("plain", declared=SOME).takes(b"GET", target)


@pytest.mark.parametrize(
    "target",
    [
        b"/plain/_search",
        b"/plain",
        b"/pl%61in/_search?q=x",
        b"/%70lain/_doc/1",
        b"/",
        b"/?pretty",
        b"/_cat/indices",
        b"/_cluster/health",
        b"/_query_rules/x",
        b"/_security/_authenticate",
        b"/_license",
    ],
)
def test_what_shows_none_is_let_through(target):
    assert not interceptor("plain", declared=SOME).takes(b"GET", target)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        (b"DELETE", b"/plain"),
        (b"DELETE", b"/a,b*"),
        (b"POST", b"/_aliases"),
        (b"PUT", b"/plain/_alias/x"),
        (b"POST", b"/plain/_clone/copy"),
        (b"PUT", b"/plain/_shrink/copy"),
        (b"POST", b"/plain/_close"),
        (b"DELETE", b"/_data_stream/d"),
        (b"POST", b"/_data_stream/_modify"),
        (b"POST", b"/_reindex"),
        (b"DELETE", b"/plain/_aliases/x"),
    ],
)
def test_what_changes_the_meaning_of_names_is_seen(method, target):
    assert interceptor("plain", declared=SOME).takes(method, target)
    assert changes(method, target)


def test_a_name_that_turns_out_plain_makes_another_generation():
    """Connections keep what they were told about a target until then."""
    looking = interceptor(declared=SOME)
    before = looking.generation()
    assert looking.generation() is before


class OfRelease:
    """An upstream that tells its release."""

    def __init__(self, version: str | None) -> None:
        self._version = version

    async def version(self):
        return self._version


@pytest.mark.parametrize(
    ("version", "expected"), [("7.17.9", True), ("8.8.2", True), ("8.14.0", False), (None, False)]
)
async def test_retrievers_are_looked_for_where_the_upstream_may_not_know_any(version, expected):
    release = UpstreamRelease(OfRelease(version))  # type: ignore[arg-type]
    looking = Interceptor(Registry(None, 1.0, Epoch()), release)  # type: ignore[arg-type]
    head = b"POST /notes/_search HTTP/1.1\r\n\r\n"
    request = head + b'{"retriever":{"standard":{}}}'
    assert looking.takes_body(request, len(head))  # nobody has asked for the release yet
    assert await release.knows_retrievers() is not expected
    assert looking.takes_body(request, len(head)) is expected


HEAD = b"POST /notes/_search HTTP/1.1\r\nHost: es\r\n%b\r\n\r\n"


@pytest.mark.parametrize(
    ("header", "body", "expected"),
    [
        (b"Content-Type: application/json", b'{"query":{"match":{"a":"b"}}}', False),
        (b"Content-Type: application/json", b'{"query":{"semantic":{}}}', True),
        (b"Content-Type: application/json", b'{"query":{},"rank":{"rrf":{}}}', True),
        (
            b"Content-Type: application/json",
            b'{"query":{"sparse_vector":{"field":"w","inference_id":"e","query":"x"}}}',
            True,
        ),
        (b"Content-Type: application/json", b'{"retriever":{"linear":{}}}', True),
        (b"Content-Type: application/json", b'{"query":{"s\\u0065mantic":{}}}', True),
        (b'X: "semantic"', b"{}", False),
        (b"Accept-Encoding: gzip", b"{}", False),
        (b"CONTENT-encoding: gzip", b"\x1f\x8b", True),
        (b"content-type: application/vnd.elasticsearch+CBOR", b"{}", True),
        (b"Content-Type: application/yaml", b"query:", True),
    ],
)
def test_a_search_is_taken_for_what_its_body_names_or_if_it_cannot_be_read(header, body, expected):
    head, looking = HEAD % header, interceptor(declared=NONE)
    taken = looking.hides_body(head) or looking.takes_body(head + body, len(head))
    assert taken is expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"query":"FROM a | WHERE KNN(v, TEXT_EMBEDDING(\\"x\\", \\"e\\"))"}', True),
        (b'{"query":"ROW v = Text_Embedding(?, ?)"}', True),
        (b'{"query":"FROM a | LIMIT 1"}', False),
    ],
)
@pytest.mark.parametrize("target", [b"/_query", b"/_query/async?pretty", b"/_query?format=csv"])
def test_an_esql_query_is_taken_where_it_embeds(target, body, expected):
    looking = interceptor(declared=NONE)
    assert not looking.takes(b"POST", target)
    assert looking.looks_into(b"POST", target)
    head = b"POST %b HTTP/1.1\r\nContent-Type: application/json\r\n\r\n" % target
    assert looking.takes_body(head + body, len(head)) is expected
    assert interceptor("plain", declared=SOME).takes(b"POST", target)


@pytest.mark.parametrize("target", [b"/_query/async/x", b"/_query_rules/x", b"/_query/queries"])
def test_what_holds_no_esql_query_is_not_looked_into(target):
    assert not interceptor(declared=NONE).looks_into(b"POST", target)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/_search", True),
        (b"/notes/_search?size=3", True),
        (b"/notes/_search/", True),
        (b"/_msearch", False),  # answers 200 with the refusal inside
        (b"/notes/_validate/query", False),
        (b"/_rank_eval", False),
        (b"/notes/_search/template", False),
        (b"/notes/_async_search", False),
    ],
)
def test_what_is_refused_as_a_whole_may_go_upstream_first(target, expected):
    looking = interceptor(declared=NONE)
    assert looking.looks_into(b"POST", target)
    assert looking.unrefused(target) == (b'"semantic"' if expected else None)


def test_elsewhere_the_name_of_that_function_means_nothing():
    head = HEAD % b"Content-Type: application/json"
    body = b'{"query":{"match":{"a":"text_embedding(x)"}}}'
    assert not interceptor(declared=NONE).takes_body(head + body, len(head))


@pytest.mark.parametrize(
    ("target", "body", "expected"),
    [
        (b"/plain/_bulk", b'{"index":{"_id":"1"}}\n{"a":"b"}\n', False),
        (b"/plain/_bulk", b'{"index":{"_index":"notes"}}\n{"a":"b"}\n', True),
        (b"/plain/_bulk", b'{"index":{"_index": "plain"}}\n{"a":"b"}\n', False),
        (b"/plain/_bulk", b'{"index":{"_index":"plain","_index":"notes"}}\n{"a":"b"}\n', True),
        (b"/plain/_bulk", b'{"index":{"_index":"plain"}}\n{}\n{"index":{"_index":7}}\n{}', True),
        (b"/plain/_bulk", b'{"index":{"_index":"pl\\/ain"}}\n{"index":"plain"}\n', True),
        (b"/plain/_bulk", b'{"index":{"_index":7}}\n{"index":"plain"}\n', True),
        (b"/plain/_msearch", b'{"index":"plain"}\n{}\n', False),
        (b"/plain/_msearch", b'{"index":["plain"]}\n{}\n', True),
        (b"/plain/_bulk/?refresh", b'{"index":{"\\u005findex":"notes"}}\n{"a":"b"}\n', True),
        (b"/plain/_mget", b'{"ids":["1"]}', False),
        (b"/plain/_mget", b'{"docs":[{"_index":"notes"}]}', True),
        (b"/plain/type/_mget", b'{"docs":[{"_index":"notes"}]}', True),
        (b"/plain/_mget", '{"docs":[{"_index":"notes"}]}'.encode("utf-16"), True),
        (b"/plain/_msearch", b'{}\n{"query":{"term":{"_index":"x"}}}\n', False),
        (b"/plain/_msearch", b'{"index":"notes"}\n{}\n', True),
        (b"/plain/_msearch?pretty", b'{"indices":["notes"]}\n{}\n', True),
        (b"/plain/_msearch/template", b'{"index":"notes"}\n{"id":"t"}\n', True),
    ],
)
def test_parts_of_a_body_may_name_another_index_than_the_path(target, body, expected):
    looking = interceptor("plain", declared=SOME)
    assert not looking.takes(b"POST", target)
    assert looking.looks_into(b"POST", target)
    head = b"POST %b HTTP/1.1\r\n\r\n" % target
    assert looking.takes_body(head + body, len(head)) is expected


def test_without_any_field_no_part_of_a_body_names_one():
    assert not interceptor(declared=NONE).looks_into(b"POST", b"/plain/_bulk")
    head, body = b"POST /plain/_msearch HTTP/1.1\r\n\r\n", b'{"index":"x"}\n{}\n'
    assert not interceptor(declared=NONE).takes_body(head + body, len(head))


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        (b"POST", b"/_bulk", True),
        (b"POST", b"//_bulk", True),
        (b"PUT", b"/_bulk?pretty", True),
        (b"POST", b"/notes/_bulk/", True),
        (b"PUT", b"/notes/_doc/1", True),
        (b"POST", b"/%3Cnotes-%7Bnow%2Fd%7D%3E/_doc", True),
        (b"PUT", b"/notes/_create/1", True),
        (b"POST", b"/notes/_update/1", True),
        (b"POST", b"/_all/_update_by_query", True),
        (b"POST", b"/_reindex", True),
        (b"GET", b"/notes/_doc/1", False),
        (b"DELETE", b"/notes/_doc/1", False),
        (b"POST", b"/notes/_search", False),
        (b"POST", b"/_ml/_doc/1", False),
        (b"POST", b"/notes/_docs", False),
    ],
)
def test_what_writes_documents(method, target, expected):
    assert writes_documents(method, target) is expected
