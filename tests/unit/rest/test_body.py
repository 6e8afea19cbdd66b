from __future__ import annotations

import cbor2
import pytest

from proxy.ground.errors import IllegalArgument, ParseFailed
from proxy.rest.body import Body, as_map
from tests.support.requests import body_of


def json_body(data: bytes = b"", method: str = "PUT") -> Body:
    return body_of(data, {"Content-Type": "application/json"}, method)


def test_a_body_may_be_required_or_refused():
    with pytest.raises(ParseFailed, match="request body is required"):
        json_body().require()
    with pytest.raises(IllegalArgument) as caught:
        json_body(b"{}", "GET").refuse()
    assert caught.value.reason == "request [GET /p] does not support having a body"
    json_body().refuse()


@pytest.mark.parametrize("data", [b"[]", b'"x"', b"null", b"1", b"  ", b"// nothing"])
def test_what_is_no_object_is_an_empty_map(data):
    assert as_map(json_body(data).document()) == {}


def test_a_body_is_read_by_its_type():
    body = body_of(b"a: [1, x]", {"Content-Type": "application/yaml"})
    assert as_map(body.document()) == {"a": [1, "x"]}
    body = body_of(cbor2.dumps({"a": 1}), {"Content-Type": "application/cbor"})
    assert as_map(body.document()) == {"a": 1}


def test_a_body_that_is_forgotten_is_empty():
    body = json_body(b"{}")
    assert (body.raw, body.data) == (b"{}", b"{}")
    body.forget()
    assert (body.raw, body.data) == (None, b"")
