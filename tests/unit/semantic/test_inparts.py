"""Which requests have parts that may name other indices than the path does."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.rest.request import parse_request
from proxy.semantic.inparts import InParts, in_parts, is_in_parts, reads_types

COMPATIBLE = "application/vnd.elasticsearch+json;compatible-with="


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/_bulk", InParts(None, False, "_bulk")),
        (b"//_bulk", InParts("", False, "_bulk")),
        (b"/a/_bulk/", InParts("a", False, "_bulk")),
        (b"/_nodes/_bulk?refresh", InParts("_nodes", False, "_bulk")),
        (b"/a%2Cb/_mget", InParts("a,b", False, "_mget")),
        (b"/a/_msearch", InParts("a", False, "_msearch")),
        (b"/_msearch/template", InParts(None, False, "_msearch/template")),
        (b"/a/_msearch/template?x", InParts("a", False, "_msearch/template")),
        (b"/a/type/_bulk", InParts("a", True, "_bulk")),
        (b"/a/type/_msearch/template", InParts("a", True, "_msearch/template")),
        (b"/a/_search", None),
        (b"/a/_bulks", None),
        (b"/a/b/c/_bulk", None),
        (b"/a/_doc/1?x=/_bulk", None),
    ],
)
def test_paths(target, expected):
    assert in_parts(target) == expected
    assert is_in_parts(target) is (expected is not None)


@pytest.mark.parametrize("header", ["Accept", "Content-Type"])
@pytest.mark.parametrize(("version", "expected"), [(7, True), (8, False), (9, False)])
def test_types_are_read_where_elasticsearch_is_to_behave_as_7(header, version, expected):
    headers = CIMultiDict({header: f"{COMPATIBLE}{version}"})
    rest = parse_request("POST", "/a/type/_bulk", CIMultiDictProxy(headers))
    assert reads_types(rest) is expected
