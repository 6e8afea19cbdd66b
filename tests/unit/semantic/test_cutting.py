from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.semantic.cutting import Cutter, cut_out

ADDED: Any = {"body": {"chunks": [{"start": 0, "embeddings": [1.0, -2e-3]}], "seen": {"m": {}}}}
FORMS = {
    "compact": lambda document: orjson.dumps(document),
    "spaced": lambda document: json.dumps(document).encode(),
    "pretty": lambda document: json.dumps(document, indent=2).encode(),
}


def hit(source: Any, **more: Any) -> Any:
    return {"hits": {"hits": [{"_index": "a", "_id": "1", "_source": source, **more}]}}


def cut(document: Any, form: str = "compact", **more: Any) -> Any:
    return orjson.loads(cut_out(FORMS[form](document), **more))


@pytest.mark.parametrize("form", FORMS)
class TestSources:
    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ({"a": 1, "xinf": ADDED, "b": [2]}, {"a": 1, "b": [2]}),
            ({"xinf": ADDED, "b": "}"}, {"b": "}"}),
            ({"a": '"xinf":', "xinf": ADDED}, {"a": '"xinf":'}),
            ({"xinf": ADDED}, {}),
            ({"xinf": None, "b": 1}, {"b": 1}),
            ({"a": {}, "xinf": "}\\"}, {"a": {}}),
            ({"a": 1, "xinf": -1.5e3}, {"a": 1}),
        ],
    )
    def test_lose_only_what_was_added(self, form: str, before: Any, after: Any):
        assert cut(hit(before, sort=[1]), form) == hit(after, sort=[1])

    def test_targets_of_requests_do_not_tell_of_it(self, form: str):
        client = {"id": 1, "last_uri": "/a/_doc/1?_source_excludes=xinf&n=1"}
        shown = {"nodes": {"n": {"http": {"clients": [{**client, "last_uri": "/a/_doc/1?n=1"}]}}}}
        assert cut({"nodes": {"n": {"http": {"clients": [client]}}}}, form) == shown

    def test_lose_it_where_a_transform_is_tried_out(self, form: str):
        made: Any = {"generated_dest_index": {"mappings": {"properties": {"a": {}}}}}
        before = {"preview": [{"a": 1, "xinf": ADDED}, {"xinf": ADDED}], **made}
        assert cut(before, form) == {"preview": [{"a": 1}, {}], **made}

    def test_keep_what_is_the_users(self, form: str):
        source = {
            "o": {"xinf": 1, "_source": {"xinf": 2}, "fields": {"xinf.a": 3}},
            "error": "xinf.body.chunks",
        }
        assert cut(hit(source), form) == hit(source)

    def test_show_something_else_in_its_place(self, form: str):
        def replacement(index: str, added: bytes) -> bytes:
            return b'"new":{"of":"%b","n":%d}' % (index.encode(), len(orjson.loads(added)))

        new = {"of": "a", "n": 1}
        for before, after in (
            ({"xinf": ADDED}, {"new": new}),
            ({"a": 1, "xinf": ADDED}, {"a": 1, "new": new}),
            ({"xinf": ADDED, "b": 1}, {"new": new, "b": 1}),
        ):
            assert cut(hit(before), form, replacement=replacement) == hit(after)

    def test_that_are_the_whole_answer(self, form: str):
        assert cut({"xinf": ADDED, "a": {"xinf": 1}}, form, source_of="i") == {"a": {"xinf": 1}}


class TestFields:
    def test_of_ours_are_cut_out_wherever_fields_are_keys(self):
        fields = {"a": ["xinf.body"], "xinf.body.chunks": [{"xinf": [1]}], "z": [{"xinf.b": 1}]}
        left = {"a": ["xinf.body"], "z": [{"xinf.b": 1}]}
        assert cut(hit({}, fields=fields)) == hit({}, fields=left)
        sizes = {"i": {"fielddata": {"xinf.body.chunks.embeddings": {"size": 1}}}}
        assert cut(sizes) == {"i": {"fielddata": {}}}

    def test_an_index_of_that_name_is_the_users(self):
        document = {"xinf.logs": {"aliases": {}}, "xinf": {"a": 1}}
        assert cut(document) == document


class TestWords:
    def test_speak_of_the_users_fields(self):
        explained = {"value": 1.0, "description": "in xinf.o:s.chunks.embeddings", "details": []}
        expected = {**explained, "description": "in o.s.inference.chunks.embeddings"}
        assert cut(hit({}, _explanation=explained)) == hit({}, _explanation=expected)
        profile = {"profile": {"shards": [{"query": [{"type": "x", "d": "xinf.body.def1:a"}]}]}}
        assert cut(profile)["profile"]["shards"][0]["query"][0]["d"] == "body:a"

    def test_of_users_stay(self):
        document = {"aggregations": {"error": {"buckets": [{"key": "xinf.body.chunks"}]}}}
        assert cut(document) == document


def test_bytes_that_are_not_concerned_stay_as_they_are():
    source = b'{"n":1.0,"big":123456789012345678901234567890,"e":1e400,"e":"\\u00e9\\/","xinf":{}}'
    data = b'{"hits":[ {"_source" :%b} ]}' % source
    assert cut_out(data) == data.replace(b',"xinf":{}', b"")
    assert cut_out(b'{"a": 1}') == b'{"a": 1}'


def test_what_comments_say_is_nothing():
    source = b'{"a":1 /* "}]{ */ , // }] "\n "b":{"c":"//"} /* " */,"xinf":{"a":1}}'
    data = b'{"hits":[{"_source":%b},{"_source":{"xinf":{},"d":"/* "}}]}' % source
    expected = data.replace(b',"xinf":{"a":1}', b"").replace(b'"xinf":{},', b"")
    assert cut_out(data) == expected
    for size in (1, 2, 3, 7):
        cutter = Cutter(None, None)
        pieces = [cutter.feed(data[at : at + size]) for at in range(0, len(data), size)]
        assert b"".join(pieces) + cutter.finish() == expected


def test_halves_of_characters_are_no_fault():
    data = rb'{"_index":"\ud83d","error":{"reason":"xinf.body.seen \ud83d"}}'
    assert cut_out(data) == rb'{"_index":"\ud83d","error":{"reason":"body \ud83d"}}'


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(("xinf", "xinf.a.chunks", "_source", "fields", "error", "a", 'q"\\')),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(JSON, st.integers(1, 9), st.sampled_from(sorted(FORMS)))
def test_an_answer_may_come_in_any_pieces(document: Any, size: int, form: str):
    data = FORMS[form]({"x": document})
    whole = Cutter(None, None)
    expected = whole.feed(data) + whole.finish()
    orjson.loads(expected)
    cutter = Cutter(None, None)
    pieces = (data[at : at + size] for at in range(0, len(data), size))
    assert b"".join(map(cutter.feed, pieces)) + cutter.finish() == expected
