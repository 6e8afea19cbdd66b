"""The requests of test_replay: about a thousand, with errors of all kinds.

Their answers repeat: how long a request took is filtered out.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from typing import Final

import cbor2
import orjson

from tests.integration.examples import lines

Pairs = Sequence[tuple[str, str]]
Body = bytes | Sequence[bytes] | None  # a sequence is sent in chunks
Request = tuple[str, str, Pairs, Body]

JSON: Final = [("Content-Type", "application/json")]
NDJSON: Final = [("Content-Type", "application/x-ndjson")]
YAML: Final = [("Content-Type", "application/yaml")]
CBOR: Final = [("Content-Type", "application/cbor")]
VENDOR: Final = "application/vnd.elasticsearch+json;compatible-with="
HEALTH: Final = "/_cluster/health?filter_path=timed_out"
SEARCH: Final = "/replay/_search?filter_path=-took"
QUERY: Final = b'{"query":{"match":{"text":"cow"}}}'
# Indices and templates that are read.

SETUP: Final[Sequence[Request]] = [
    ("PUT", "/_component_template/replay-part", JSON, b'{"template":{"settings":{"priority":3}}}'),
    (
        "PUT",
        "/_index_template/replay-template",
        JSON,
        b'{"index_patterns":["replay-t-*"],"composed_of":["replay-part"]}',
    ),
    ("PUT", "/_template/replay-legacy", JSON, b'{"index_patterns":["replay-l-*"]}'),
    (
        "PUT",
        "/replay",
        JSON,
        b'{"settings":{"number_of_replicas":0,"max_result_window":100},"aliases":{"replay-alias":{}},'
        b'"mappings":{"properties":{"text":{"type":"text"},"n":{"type":"integer"},'
        b'"kind":{"type":"keyword"},"v":{"type":"dense_vector","dims":2}}}}',
    ),
    *(
        ("PUT", f"/replay/_doc/{name}", JSON, orjson.dumps({"text": text, "n": n, "kind": "k"}))
        for n, (name, text) in enumerate(
            [("1", "a cow gives milk"), ("a%2Fb", "sløv 牛 🐄"), ("a+b", "a b"), ("%E2%82%AC", "€")]
        )
    ),
    ("PUT", "/replay/_doc/big", JSON, orjson.dumps({"big": "0123456789" * 30_000})),
    ("POST", "/replay/_refresh", (), None),
]
TEARDOWN: Final = [
    "/replay",
    "/_index_template/replay-template",
    "/_component_template/replay-part",
    "/_template/replay-legacy",
]
PATHS: Final = """\
/ /_cat /_cat/indices/replay?h=index,docs.count,health&v /_cat/aliases/replay*
/_cat/shards/replay?h=index,shard,prirep,state /_cat/count/replay?h=count /_cat/templates/replay*
/_cat/nodeattrs?h=node,attr /_cat/thread_pool/search?h=name,type /_cat/health?h=cluster&help
/_cat/nope /_cluster/health/replay?filter_path=status,timed_out,number_of_nodes
/_cluster/settings?flat_settings /_cluster/state/metadata/replay?filter_path=**.mappings
/_cluster/health?no_such_parameter=1 /_cluster/nope /_nodes?filter_path=nodes.*.version
/_nodes/stats/indices?filter_path=_nodes /_nodes//stats?filter_path=_nodes /_tasks?actions=none
/_tasks/none:1 /_tasks/none /replay/_mapping /replay/_mapping/field/text
/replay/_settings?flat_settings /replay/_alias /_alias/replay-alias /_alias/none
/replay/_ilm/explain /replay/_stats/docs?filter_path=_all.primaries.docs.count
/replay/_segments?filter_path=_shards /replay/_recovery?filter_path=*.shards.type /replay
/replay-alias /nope /_nope /_inferences /replay/_doc/1 /replay/_doc/1/ /replay/_doc/none
/nope/_doc/1 /replay/_source/1 /replay/_source/none /replay/_doc/1?_source=false
/replay/_doc/1?version=17 /replay/_doc/1?_source_includes=n,k* /replay/_doc/big
/replay/_explain/1?q=text:cow /replay/_termvectors/1?fields=text&filter_path=-took
/replay/_search?q=text:cow&filter_path=-took /replay/_search?q=%5B&filter_path=-took
/replay/_search?size=1000 /replay/_search?filter_path=hits.total /replay/_count?q=*:* /nope/_search
/nope/_search?ignore_unavailable=true&filter_path=-took /replay/_field_caps?fields=*
/replay/_validate/query?q=text:cow&explain /_resolve/index/replay* /_index_template/replay-template
/_index_template/none /_component_template/replay-part /_template/replay-legacy
/_ingest/pipeline/none /_scripts/none /_snapshot/none /_data_stream/none
/_search/scroll?scroll_id=none /_search/scroll /_async_search/none /_security/_authenticate
/_license /_xpack /_mget /_msearch /_bulk /_analyze /_aliases /_remote/info /_dangling
/_ilm/policy/none /replay/_disk_usage /replay/_rank_eval /replay/_knn_search
"""
# Variants of each path: method, suffix of the target, headers.
WAYS_TO_ASK: Final[Sequence[tuple[str, str, Pairs]]] = [
    ("GET", "", ()),
    ("HEAD", "", ()),
    ("OPTIONS", "", ()),
    ("PATCH", "", ()),
    ("GET", "pretty&human", [("Accept", "*/*")]),
    ("GET", "format=yaml", ()),
    ("GET", "", [("Accept", "application/cbor")]),
    ("GET", "", [("Accept", "application/smile"), ("Accept-Encoding", "gzip")]),
    ("GET", "", [("Accept", VENDOR + "8")]),
]
READS: Final[Sequence[Request]] = [
    (method, path + (("&" if "?" in path else "?") + more if more else ""), headers, None)
    for path in PATHS.split()
    for method, more, headers in WAYS_TO_ASK
]

SEARCHES: Final = [
    b"{}",
    b'{"query":{"match_all":{}},"size":0,"aggs":{"k":{"terms":{"field":"kind"}}}}',
    b'{"query":{"range":{"n":{"gte":1}}},"sort":[{"n":"desc"}],"_source":["n"]}',
    b'{"query":{"match":{"text":"cow"}},"highlight":{"fields":{"text":{}}}}',
    b'{"query":{"match":{"text":"sl\xc3\xb8v"}}}',
    b'{"knn":{"field":"v","query_vector":[1,2],"k":1,"num_candidates":1}}',
    b'{"from":99,"size":2}',
    b'{"suggest":{"s":{"text":"cwo","term":{"field":"text","suggest_mode":"always"}}}}',
    b"\xef\xbb\xbf" + QUERY,
    b"  \r\n" + QUERY + b"\r\n\r\n",
    b'{"query":{"terms":{"kind":[' + b",".join(b'"%d"' % n for n in range(40_000)) + b"]}}}",
]
# Not chunked: Elasticsearch answers these before their end.
BROKEN_SEARCHES: Final = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'{"query":{"no_such_query":{}}}',
    b'{"query":{"match":{"text":"cow"}},"nope":1}',
    b'{"query":{"match":{"text":"\xff"}}}',
    b'{"size":-1}',
    b'{"query":{"terms":{"kind":[' + b",".join(b'"%d"' % n for n in range(70_000)) + b"]}}}",
    b'{"query":' * 2000,
]
MSEARCH: Final = (
    b'{"index":"replay"}\n{"size":0}\n{"index":"nope"}\n{}\n{}\n{"query":{"nope":{}}}\n'
)


def coded(coding: str) -> Pairs:
    return [*JSON, ("Content-Encoding", coding), ("Accept-Encoding", coding)]


BODIES: Final[Sequence[Request]] = [
    *(("POST", SEARCH, JSON, body) for body in SEARCHES + BROKEN_SEARCHES),
    *(("GET", SEARCH, JSON, body) for body in SEARCHES),
    *(("POST", SEARCH, JSON, [body[:1], body[1:]]) for body in SEARCHES),
    ("POST", SEARCH, coded("gzip"), gzip.compress(QUERY)),
    ("POST", SEARCH, coded("gzip"), gzip.compress(QUERY)[:-9]),
    ("POST", SEARCH, coded("deflate"), zlib.compress(QUERY)),
    ("POST", SEARCH, coded("identity"), QUERY),
    ("POST", SEARCH, coded("br"), QUERY),
    ("POST", SEARCH, coded("br"), gzip.compress(QUERY, mtime=0)),
    *(
        ("POST", SEARCH, [("Content-Type", kind)], QUERY)
        for kind in (
            "application/json; charset=UTF-8",
            "Application/JSON",
            "application/x-www-form-urlencoded",
            "text/plain",
            "application/xml",
            "application/",
            "",
            VENDOR + "9",
            VENDOR + "7",
        )
    ),
    ("POST", SEARCH, (), QUERY),
    ("POST", SEARCH, CBOR, cbor2.dumps({"query": {"match_all": {}}})),
    # The position of an error in CBOR depends on how the bytes arrived.
    (
        "POST",
        "/replay/_search?filter_path=status,error.type",
        CBOR,
        cbor2.dumps({"query": {"no_such_query": {}}}),
    ),
    ("POST", SEARCH, [("Content-Type", "application/smile")], b":)\n\x00\xfa\xfb"),
    ("POST", SEARCH, YAML, b"---\nquery:\n  match:\n    text: cow\n"),
    ("POST", SEARCH + "&typed_keys&rest_total_hits_as_int", JSON, SEARCHES[5]),
    ("POST", SEARCH + "&request_cache=maybe", JSON, QUERY),
    ("POST", "/_msearch?filter_path=-took,-responses.took", NDJSON, MSEARCH),
    ("POST", "/_msearch?filter_path=-took,-responses.took", NDJSON, MSEARCH[:-1]),
    ("POST", "/_msearch?filter_path=-took,-responses.took", JSON, [MSEARCH[:30], MSEARCH[30:]]),
    (
        "POST",
        "/_mget",
        JSON,
        b'{"docs":[{"_index":"replay","_id":"1"},{"_index":"nope","_id":"1"}]}',
    ),
    ("GET", "/replay/_mget", JSON, b'{"ids":["1","a/b","none"]}'),
    ("POST", "/_analyze", JSON, b'{"analyzer":"standard","text":"One TWO"}'),
    ("POST", "/_analyze", JSON, b'{"analyzer":"nope","text":"One"}'),
    ("POST", "/replay/_validate/query?explain", JSON, QUERY),
    ("POST", "/replay/_explain/1", JSON, QUERY),
    ("POST", "/replay/_termvectors?filter_path=-took", JSON, b'{"doc":{"text":"a cow"}}'),
    ("POST", "/_index_template/_simulate_index/replay-t-1", (), None),
    ("POST", "/_ingest/pipeline/_simulate", JSON, b'{"pipeline":{"processors":[]},"docs":[]}'),
    ("POST", "/_bulk", NDJSON, b""),
    ("POST", "/_bulk", NDJSON, b'{"index":{}}'),
    ("POST", "/_bulk", NDJSON, b'{"nope":{"_index":"replay"}}\n{}\n'),
    ("PUT", "/_bulk", [("Content-Type", "text/plain")], b"{}\n"),
    ("POST", "/_reindex", JSON, b'{"source":{"index":"nope"},"dest":{"index":"nope"}}'),
    ("POST", "/_scripts/painless/_execute", JSON, b"{}"),
    ("PUT", "/_UPPER", JSON, b"{}"),
    ("PUT", "/replay/_mapping", JSON, b'{"properties":{"n":{"type":"keyword"}}}'),
    ("PUT", "/replay/_settings", JSON, b'{"index.nope":1}'),
    ("PUT", "/replay/_create/1", JSON, b"{}"),
    ("PUT", "/replay/_doc/1?if_seq_no=999&if_primary_term=9", JSON, b"{}"),
    ("DELETE", "/replay/_doc/1?if_seq_no=999&if_primary_term=9", (), None),
    ("DELETE", "/replay/_alias/none", JSON, b"{}"),
    ("DELETE", "/*", (), None),
    ("DELETE", "/_search/scroll", JSON, b'{"scroll_id":["none"]}'),
    ("GET", "/_cluster/health", JSON, b"{}"),
    ("POST", "/replay/_forcemerge?max_num_segments=x", (), b""),
]

HEADERS: Final[Sequence[Pairs]] = [
    [("X-Opaque-Id", "ä-Ω-牛")],
    [("x-opaque-id", "a, b")],
    [("X-Opaque-Id", "a"), ("x-opaque-id", "b")],
    [("X-Opaque-Id", "")],
    [("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")],
    [("traceparent", "nonsense"), ("tracestate", "a=b")],
    [("Authorization", "Basic !!!!")],
    [("authorization", "Bearer x")],
    [("Authorization", "Basic a"), ("Authorization", "Basic b")],
    [("es-security-runas-user", "x")],
    [("Origin", "http://elsewhere")],
    [("Origin", "http://elsewhere"), ("Access-Control-Request-Method", "POST")],
    [("Cookie", "a=b"), ("Cookie", "c=d")],
    [("If-None-Match", '"x"'), ("Range", "bytes=0-1"), ("If-Modified-Since", "x")],
    [("X-HTTP-Method-Override", "DELETE"), ("X-Original-URL", "/_inference")],
    [("X-Forwarded-For", "1.2.3.4"), ("X-Forwarded-Proto", "https"), ("Forwarded", "for=x")],
    [("Via", "1.1 somewhere"), ("Max-Forwards", "0")],
    [("TE", "trailers"), ("Trailer", "X")],
    [("Connection", "X-A"), ("X-A", "1"), ("Upgrade", "h2c"), ("HTTP2-Settings", "x")],
    [("X-Odd", "a\tb"), ("X-Empty", ""), ("x-odd", '",;=\\'), ("X_Under", "1"), ("X.Dot", "2")],
    [(f"X-Many-{n}", "value" * 4) for n in range(300)],
    [("X-Same", str(n)) for n in range(300)],
    [("X-Long", "v" * 8000)],
    [("Accept", "application/json"), ("Accept", "application/yaml")],
    [("Accept", "application/yaml;q=0.9, */*;q=0.1")],
    [("Accept", "text/html")],
    [("Accept", "")],
    [("Accept", VENDOR + "6")],
    [("Accept-Encoding", "gzip;q=0")],
    [("Accept-Encoding", "br, zstd, gzip")],
    [("Content-Type", "application/json")],
    [("Content-Type", "nonsense")],
    [("Content-Length", "0")],
    [("Content-Length", "0"), ("Content-Encoding", "gzip"), ("Content-Type", "text/plain")],
    [("User-Agent", "elastic-agent/1"), ("x-elastic-client-meta", "es=9")],
    [("x-elastic-product-origin", "kibana")],
]

TARGETS: Final = [
    *("/replay/_doc/a%2Fb", "/replay/_doc/a%2fb", "/replay/_doc/a+b", "/replay/_doc/a%20b"),
    *("/replay/_doc/%E2%82%AC", "/replay/_doc/%e2%82%ac", "/replay/_doc/%31", "/replay/_doc/%"),
    *("/replay/_doc/%zz", "/replay/_doc/%FF", "/replay/_doc/%00", "/replay/_doc/%0A%0d"),
    *("/replay/_doc/%252F", "/replay/_doc/a/b", "/replay/_doc/;1", "/replay/_doc/1;a=b"),
    *(
        '/replay/_doc/"',
        "/replay/_doc/<>",
        "/replay/_doc/[1]",
        "/replay/_doc/{1}",
        "/replay/_doc/|",
    ),
    *("/replay/_doc/\\", "/replay/_doc/^", "/replay/_doc/`", "/replay/_doc/~'()*!$&,:@="),
    *(
        "/%72eplay",
        "/REPLAY",
        "/replay?",
        "/replay?&",
        "/replay?&&pretty&",
        "/replay??",
        "/replay?=",
    ),
    *("/replay?pretty=%74rue", "/replay?pretty=maybe", "/replay?pretty&pretty=false", "/replay?%"),
    *("/replay?human=%zz", "/replay?x=%E2%82", "/replay?a[]=1", "/replay?a=b=c", "/replay?;pretty"),
    *(
        "/replay/?pretty",
        "/replay//",
        "/replay///_doc/1",
        "//replay",
        "///",
        "//",
        "/.",
        "/..",
        "/./",
    ),
    *("/./replay", "/x/../replay", "/replay/.", "/replay/..", "/%2e%2e/replay", "/%2freplay"),
    *("/replay/./_doc/1", "//_cluster/health", "/_cluster//health", "/_CLUSTER/health"),
    *("/%5fcluster/health", "/_cluster%2fhealth", "/_cluster;a=b/health", "/_cluster/health;a=b"),
    *("/_inference_", "/_inferences/x", "/%5Finference", "/_INFERENCE", "//_inference/x"),
    *("/./_inference", "/x/../_inference/y", "/%2e%2e/_inference/y", "/_inference%2fx"),
    *("/_inference;a=b", "/\\_inference", "/_inference%3Fx", "/replay/_inference", "/?/_inference"),
    *(
        "/repl*",
        "/_all/_count",
        "/rep*,-none/_count",
        "/<replay-{now/d}>",
        "/%3Creplay-%7Bnow%2Fd%7D%3E",
    ),
    *("/replay,nope", "/replay,nope?ignore_unavailable", "/re%2Cplay", "/http://es/replay"),
    *("/@es/replay", "/replay@", "/:80", "/replay/_doc/" + "i" * 512, "/replay/_doc/" + "i" * 513),
    SEARCH + "&q=" + "%20OR%20".join(f"n:{n}" for n in range(200)),
]
# Around Elasticsearch's limits: 4,096 bytes of a request line, 16,384 of all headers.
LONG: Final[Sequence[Request]] = [
    *(("GET", "/" + "x" * (4096 - 14 + more), (), None) for more in (-1, 0, 1, 40_000)),
    *(("GET", HEALTH, [("X-Long", "v" * (16384 - 21 + more))], None) for more in (-99, -9)),
]

# Requests on which Elasticsearch closes the connection without an answer.
DROPPED: Final[Sequence[Request]] = [
    ("POST", SEARCH, coded("gzip"), QUERY),
    ("POST", SEARCH, coded("deflate"), QUERY),
    ("POST", SEARCH, coded("deflate"), gzip.compress(QUERY)),
    ("POST", SEARCH, [("Content-Type", VENDOR + "x")], QUERY),
]

REQUESTS: Final[Sequence[Request]] = [
    *READS,
    *BODIES,
    *(("GET", HEALTH, headers, None) for headers in HEADERS),
    *(("GET", target, (), None) for target in TARGETS),
    *LONG,
]


# Messages by name: the methods of their requests, and the bytes; the last request closes.


def _message(line: str, *headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join([line, *headers, "", ""]).encode() + body


_CLOSE: Final = ("Host: replay", "Connection: close")
_CHUNKED: Final = ("Content-Type: application/json", "Transfer-Encoding: chunked")
_SIZED: Final = ("Content-Type: application/json", f"Content-Length: {len(QUERY)}")
_CHUNK: Final = b"%x\r\n%b\r\n" % (len(QUERY), QUERY)
_POST: Final = f"POST {SEARCH} HTTP/1.1"

MESSAGES: Final[dict[str, tuple[list[str], bytes]]] = {
    "HTTP/1.0": (["GET"], _message(f"GET {HEALTH} HTTP/1.0")),
    "HTTP/1.0, HEAD": (["HEAD"], _message(f"HEAD {HEALTH} HTTP/1.0", "Host: x")),
    "HTTP/1.0, kept": (
        ["GET", "GET"],
        _message(f"GET {HEALTH} HTTP/1.0", "Connection: keep-alive")
        + _message("GET /nope HTTP/1.0", "Host: x"),
    ),
    "HTTP/1.0, body": (["POST"], _message(f"POST {SEARCH} HTTP/1.0", *_SIZED, body=QUERY)),
    "HTTP/1.0, large answer": (["GET"], _message("GET /replay/_doc/big HTTP/1.0")),
    "pipelined": (
        ["GET", "POST", "HEAD", "DELETE", "GET", "POST"],
        _message("GET /replay/_doc/big HTTP/1.1", "Host: a")
        + _message(_POST, "Host: a", *_SIZED, body=QUERY)
        + _message("HEAD /replay HTTP/1.1", "Host: a")
        + _message("DELETE /nope HTTP/1.1", "Host: a")
        + _message("GET /nope HTTP/1.1", "Host: a")
        + _message(_POST, *_CLOSE, *_CHUNKED, body=_CHUNK + b"0\r\n\r\n"),
    ),
    "white space": (
        ["POST"],
        b"\r\n\r\n"
        + _message(
            _POST, "Host:replay", "X: \t a \t ", "CONNECTION:\tclose\t", *_SIZED, body=QUERY
        ),
    ),
    "zeros before a length": (
        ["POST"],
        _message(_POST, *_CLOSE, _SIZED[0], f"Content-Length: 00{len(QUERY)}", body=QUERY),
    ),
    "odd chunks": (
        ["POST"],
        _message(
            _POST,
            *_CLOSE,
            "content-type:application/json",
            "TRANSFER-ENCODING: Chunked",
            "Trailer: X-Sum",
            body=b'00A;a=b;c="d e"\r\n%b\r\n' % QUERY[:10]
            + b"%X\r\n%b\r\n000\r\nX-Sum: 1\r\n\r\n" % (len(QUERY) - 10, QUERY[10:]),
        ),
    ),
    "100-continue, with all at once": (
        ["POST"],
        _message(_POST, *_CLOSE, *_SIZED, "Expect: 100-continue", body=QUERY),
    ),
    "100-continue, without a body": (
        ["GET"],
        _message(f"GET {HEALTH} HTTP/1.1", *_CLOSE, "Content-Length: 0", "Expect: 100-continue"),
    ),
}

# Writes; INDEX stands for the index, which is another one for each way.

DOCUMENT: Final = orjson.dumps({"text": "a cow gives milk", "n": 1})
PAGE: Final = b'{"query":{"match_all":{}}}'

WRITES: Final[Sequence[Request]] = [
    ("PUT", "/INDEX", JSON, b'{"settings":{"number_of_replicas":0}}'),
    ("PUT", "/INDEX", JSON, b"{}"),
    ("PUT", "/INDEX/_doc/1?refresh=true", JSON, DOCUMENT),
    ("PUT", "/INDEX/_create/1", JSON, DOCUMENT),
    ("PUT", "/INDEX/_doc/chunked?refresh=true", JSON, [DOCUMENT[:5], DOCUMENT[5:]]),
    ("PUT", "/INDEX/_doc/a%2Fb%20%C3%A9?refresh=true", JSON, DOCUMENT),
    (
        "PUT",
        "/INDEX/_doc/gzip?refresh=true",
        [*JSON, ("Content-Encoding", "gzip")],
        gzip.compress(DOCUMENT),
    ),
    (
        "POST",
        "/_bulk?refresh=true&filter_path=-took",
        [("Content-Type", "application/x-ndjson")],
        lines(
            {"index": {"_index": "INDEX", "_id": "b"}},
            {"n": 2},
            {"delete": {"_index": "INDEX", "_id": "no"}},
        ),
    ),
    ("POST", "/INDEX/_bulk?filter_path=errors", JSON, lines(*[{"index": {}}, {"n": 3}] * 5000)),
    ("POST", "/INDEX/_bulk", JSON, b'{"index":{}}'),
    ("POST", "/INDEX/_doc/1/_update", JSON, b"{}"),
    ("POST", "/INDEX/_update/1?refresh=true", JSON, b'{"doc":{"n":5}}'),
    ("POST", "/INDEX/_refresh", (), None),
    ("GET", "/INDEX/_count", (), None),
    ("DELETE", "/INDEX/_doc/b?refresh=true", (), None),
    ("DELETE", "/INDEX/_doc/b?refresh=true", (), None),
    ("DELETE", "/INDEX", (), None),
    ("DELETE", "/INDEX", (), None),
]
