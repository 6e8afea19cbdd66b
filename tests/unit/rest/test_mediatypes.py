from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.ground.errors import MediaTypeRejected, PlainError, StatusError
from proxy.rest.responder import responder_for
from tests.support.requests import body_of, request_of, responder_of
from tests.support.samples import refusal_of

VND = "application/vnd.elasticsearch+json"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, "application/json"),
        ("application/json", "application/json"),
        ("application/yaml", "application/yaml"),
        ("application/cbor", "application/cbor"),
        ("application/x-ndjson", "application/json"),
        ("text/html", "application/json"),
        ("text/event-stream", "application/json"),
        ("*/*", "application/json"),
        ("text/html, application/yaml", "application/json"),
        ("application/json;q=0.9", "application/json;q=0.9"),
        ("application/json; charset=utf-8", "application/json;charset=utf-8"),
        (
            "Application / JSON ;Pretty=TRUE; charset=x;;",
            "application/json;charset=x;pretty=true",
        ),
        (f"{VND};compatible-with=9;charset=x", f"{VND};charset=x;compatible-with=9"),
        ("application/json;compatible-with=8", "application/json;compatible-with=8"),
        (f"{VND}; compatible-with=9", f"{VND};compatible-with=9"),
        (f"{VND};compatible-with=8", f"{VND};compatible-with=8"),
        (VND, VND),
        (
            "application/vnd.elasticsearch+x-ndjson; compatible-with=9",
            f"{VND};compatible-with=9",
        ),
        (
            "application/vnd.elasticsearch+yaml;compatible-with=9",
            "application/vnd.elasticsearch+yaml;compatible-with=9",
        ),
    ],
)
def test_the_answer_has_the_type_that_was_asked_for(accept, content_type):
    rest = request_of(headers={"Accept": accept} if accept else {})
    assert rest.problem is None
    body_of(b"", rest.headers)
    assert responder_for(rest).document(200, {}).headers["content-type"] == content_type


@pytest.mark.parametrize(
    ("headers", "cause"),
    [
        ([("Accept", "")], "Header [Accept] cannot be empty."),
        ([("Accept", "garbage")], "invalid media-type [garbage]"),
        ([("Accept", "a b/c")], "invalid media-type [a b/c]"),
        ([("Accept", "application/json; q")], "invalid parameters for header"),
        ([("Accept", "application/json;q=")], "invalid parameters for header"),
        ([("Accept", "application/json;q= 1")], "invalid parameters for header"),
        ([("Accept", "application/json;q=1=2")], "invalid parameters for header"),
        (
            [("Content-Type", "application/json"), ("Content-Type", "application/json")],
            "Incorrect header [Content-Type]. Only one value should be provided",
        ),
    ],
)
def test_headers_that_are_none_are_refused(headers, cause):
    found = request_of(headers=headers).problem
    assert isinstance(found, MediaTypeRejected)
    assert found.status == 400
    assert found.reason == f"Invalid media-type value on headers [{headers[0][0]}]"
    assert found.cause is not None
    assert found.cause.reason.startswith(cause)


@pytest.mark.parametrize(
    "text",
    [
        "application/json",
        "APPLICATION/JSON",
        "application/json;charset=x",
        VND,
        "application/x-ndjson",
        "application/yaml",
        "application/cbor",
    ],
)
def test_a_body_of_a_known_type_is_taken(text):
    headers = {"Content-Type": text}
    if text.startswith(VND):
        headers["Accept"] = text
    assert body_of(b"{}", headers).data == b"{}"


@pytest.mark.parametrize("text", ["text/plain", "application/xml", "application/json, text/plain"])
def test_a_body_of_another_type_is_refused(text):
    body_of(b"", {"Content-Type": text})
    with pytest.raises(PlainError) as caught:
        body_of(b"x", {"Content-Type": text})
    assert caught.value.envelope() == {
        "error": f"Content-Type header [{text}] is not supported",
        "status": 406,
    }


def test_a_body_without_a_type_is_refused():
    with pytest.raises(PlainError, match=r"Content-Type header \[\] is not supported"):
        body_of(b"x")


@pytest.mark.parametrize(
    ("accept", "content", "cause"),
    [
        (
            f"{VND};compatible-with=7",
            None,
            "Accept version must be either version 9 or 8, but found 7. Accept="
            f"{VND};compatible-with=7",
        ),
        (
            "application/json",
            f"{VND};compatible-with=9",
            "A compatible version is required on both Content-Type and Accept headers if "
            "either one has requested a compatible version. Accept=application/json, "
            f"Content-Type={VND};compatible-with=9",
        ),
        (
            None,
            f"{VND};compatible-with=9",
            "A compatible version is required on both Content-Type and Accept headers if "
            "either one has requested a compatible version. Accept=null, "
            f"Content-Type={VND};compatible-with=9",
        ),
        (
            f"{VND};compatible-with=9",
            f"{VND};compatible-with=8",
            "A compatible version is required on both Content-Type and Accept headers if "
            "either one has requested a compatible version and the compatible versions must "
            f"match. Accept={VND};compatible-with=9, Content-Type={VND};compatible-with=8",
        ),
    ],
)
def test_versions_must_be_known_and_match(accept, content, cause):
    headers = {"Accept": accept, "Content-Type": content}
    with pytest.raises(MediaTypeRejected) as caught:
        body_of(b"{}", {name: text for name, text in headers.items() if text})
    assert isinstance(caught.value.cause, StatusError)
    assert caught.value.cause.reason == cause


def test_without_a_body_only_accept_counts():
    body_of(b"", {"Content-Type": f"{VND};compatible-with=7"})


def test_a_version_of_any_length_is_no_reason_to_fail():
    request_of(headers={"Accept": f"{VND};compatible-with={'9' * 5000}"})


@given(st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=40))
def test_any_header_is_read_or_refused(text):
    headers = {"Accept": text, "Content-Type": text, "Accept-Encoding": text}
    refusal_of(lambda: body_of(b"{}", headers))
    responder_of(headers=headers).document(400, {})
