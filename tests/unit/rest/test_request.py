from __future__ import annotations

import gzip
import json
import zlib
from functools import partial

import cbor2
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from proxy.api.routes import ROUTES
from proxy.errors import (
    IllegalArgument,
    MediaTypeRejected,
    ParseFailed,
    PlainError,
    ProxyError,
    StatusError,
)
from proxy.rest.request import RestRequest
from proxy.rest.routing import NoRoute, match_path, no_handler, wrong_method
from tests.support.bodies import BOUNDS
from tests.support.samples import headers_of, refusal_of

VND = "application/vnd.elasticsearch+json"
ZIPPED = gzip.compress(b"{}", mtime=0)


def request(target: str = "/_inference/x", method: str = "GET", headers=None) -> RestRequest:
    rest = RestRequest(method, target, headers_of(headers))
    rest.bounds = BOUNDS
    return rest


def problem(target: str = "/", headers=None) -> ProxyError:
    found = request(target, headers=headers).problem
    assert found is not None
    assert found.status == 400
    return found


class TestRoutes:
    @pytest.mark.parametrize(
        ("path", "pattern", "parameters"),
        [
            ("/_inference", "/_inference", {}),
            ("/_inference/", "/_inference", {}),
            ("/_inference/_all", "/_inference/_all", {}),
            ("/_inference/_services", "/_inference/_services", {}),
            (
                "/_inference/_services/rerank",
                "/_inference/_services/{task_type}",
                {"task_type": "rerank"},
            ),
            ("/_inference/.diagnostics", "/_inference/.diagnostics", {}),
            (
                "/_inference/text_embedding",
                "/_inference/{task_type_or_id}",
                {"task_type_or_id": "text_embedding"},
            ),
            ("/_inference/x/", "/_inference/{task_type_or_id}", {"task_type_or_id": "x"}),
            ("/_inference/%74e1", "/_inference/{task_type_or_id}", {"task_type_or_id": "te1"}),
            ("/_inference/a%2Fb", "/_inference/{task_type_or_id}", {"task_type_or_id": "a/b"}),
            (
                "/_inference//te1",
                "/_inference/{task_type_or_id}/{inference_id}",
                {"task_type_or_id": "", "inference_id": "te1"},
            ),
            ("/_inference//", "/_inference", {}),
            ("/_inference/a+b", "/_inference/{task_type_or_id}", {"task_type_or_id": "a+b"}),
            ("/_inference/%5Fall", "/_inference/{task_type_or_id}", {"task_type_or_id": "_all"}),
            ("/_inference/%ff", "/_inference/{task_type_or_id}", {"task_type_or_id": "\ufffd"}),
            (
                "/_inference/completion/_stream",
                "/_inference/{task_type_or_id}/_stream",
                {"task_type_or_id": "completion"},
            ),
            (
                "/_inference/rerank/x/_update",
                "/_inference/{task_type_or_id}/{inference_id}/_update",
                {"task_type_or_id": "rerank", "inference_id": "x"},
            ),
            (
                "/_inference/rerank/_all",
                "/_inference/{task_type_or_id}/{inference_id}",
                {"task_type_or_id": "rerank", "inference_id": "_all"},
            ),
        ],
    )
    def test_literals_win_and_segments_are_decoded_afterwards(self, path, pattern, parameters):
        match = match_path(request(path).segments(), ROUTES)
        assert (match.pattern, match.parameters) == (pattern, parameters)

    @pytest.mark.parametrize(
        "path",
        [
            "/_inference/a/b/c",
            "/_inference/a/b/_stream/c",
            "/_Inference/x",
            "/_inferences/x",
            "//_inference//x",
            "/_inference/_all/x",
            "/_inference/_services/a/b",
            "/_inference/.diagnostics/x",
            "/_inference/_stream/x/y",
        ],
    )
    def test_other_paths_lead_nowhere(self, path):
        with pytest.raises(NoRoute):
            match_path(request(path).segments(), ROUTES)

    @pytest.mark.parametrize(
        ("method", "text"),
        [
            ("PATCH", "Incorrect HTTP method for uri [/_inference/_all?pretty] and method [PATCH]"),
            ("HEAD", "Incorrect HTTP method for uri [/_inference/_all?pretty] and method [HEAD]"),
            ("FOO", "Unexpected http method: FOO"),
        ],
    )
    def test_a_wrong_method_is_told_the_right_ones(self, method, text):
        error = wrong_method(request("/_inference/_all?pretty", method), ["GET", "PUT"])
        assert error.envelope() == {"error": f"{text}, allowed: [GET, PUT]", "status": 405}
        assert list(error.headers) == [("Allow", "GET,PUT")]

    def test_a_path_that_leads_nowhere_may_lead_somewhere_upstream(self):
        error = no_handler(request("/_inference/a/b/c?x=1"))
        assert error.not_ours
        assert error.envelope() == {
            "error": "no handler found for uri [/_inference/a/b/c?x=1] and method [GET]"
        }

    def test_methods_are_named_in_elasticsearchs_order(self):
        for path in (
            "/_inference/{task_type_or_id}",
            "/_inference/{task_type_or_id}/{inference_id}",
        ):
            assert list(ROUTES[path]) == ["GET", "POST", "PUT", "DELETE"]
        for path, methods in ROUTES.items():
            if path.endswith("/_stream"):
                assert list(methods) == ["POST"]
            if path.endswith("/_update"):
                assert list(methods) == ["PUT"]


class TestParameters:
    def test_are_decoded_and_the_last_one_counts(self):
        rest = request("/x?a=1&a=2&b=c+d%20e&%66=%C3%BC&empty=&bare&=nothing&")
        assert rest.parameters == {"a": "2", "b": "c d e", "f": "ü", "empty": "", "bare": ""}

    @pytest.mark.parametrize(
        ("target", "value"),
        [
            ("/x", False),
            ("/x?a", True),
            ("/x?a=", True),
            ("/x?a=true", True),
            ("/x?a=false", False),
        ],
    )
    def test_booleans_may_stand_alone(self, target, value):
        assert request(target).boolean("a") is value

    @pytest.mark.parametrize("value", ["1", "True", "yes", "maybe"])
    def test_other_booleans_are_refused(self, value):
        with pytest.raises(IllegalArgument, match="as only"):
            request(f"/x?a={value}").boolean("a")
        found = problem(f"/x?error_trace={value}")
        assert isinstance(found, PlainError)
        assert found.envelope() == {
            "error": f"Failed to parse value [{value}] as only [true] or [false] are allowed.",
            "status": 400,
        }

    def test_unknown_ones_are_sorted_and_their_likes_suggested(self):
        rest = request("/p?timeot=1&foo=2&pretty&filter_path=x&human&format=json&error_trace")
        rest.time("timeout")
        with pytest.raises(IllegalArgument) as caught:
            rest.refuse_unknown_parameters()
        assert caught.value.reason == (
            "request [/p] contains unrecognized parameters: [foo], [timeot] -> did you mean "
            "[timeout]?"
        )

    def test_one_is_told_in_the_singular(self):
        with pytest.raises(IllegalArgument, match=r"unrecognized parameter: \[foo\]$"):
            request("/p?foo").refuse_unknown_parameters()
        request("/p?pretty").refuse_unknown_parameters()

    @pytest.mark.parametrize(
        ("target", "reason"),
        [
            ("/_inference/%zz", "invalid escape sequence `%zz' at index 12 of: /_inference/%zz"),
            ("/a%", "invalid escape sequence `%' at index 2 of: /a%"),
            ("/a%4", "invalid escape sequence `%4' at index 2 of: /a%4"),
        ],
    )
    def test_bad_escapes_in_the_path(self, target, reason):
        found = problem(target)
        assert (found.type, found.reason) == ("illegal_argument_exception", reason)

    def test_bad_escapes_in_the_query(self):
        found = problem("/a?b=%4x")
        assert found.type == "bad_parameter_exception"
        assert found.cause is not None
        assert found.reason == f"java.lang.IllegalArgumentException: {found.cause.reason}"

    @given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=30))
    def test_any_target_is_read(self, target):
        rest = request("/" + target)
        for name in rest.parameters:
            refusal_of(partial(rest.boolean, name))
            refusal_of(partial(rest.time, name))
        refusal_of(rest.refuse_unknown_parameters)


class TestMediaTypes:
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
                "application/vnd.elasticsearch+yaml;compatible-with=9",
                "application/vnd.elasticsearch+yaml;compatible-with=9",
            ),
        ],
    )
    def test_the_answer_has_the_type_that_was_asked_for(self, accept, content_type):
        rest = request(headers={"Accept": accept} if accept else {})
        rest.take_body(b"")
        assert rest.problem is None
        assert rest.respond(200, {}).headers["content-type"] == content_type

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
    def test_headers_that_are_none_are_refused(self, headers, cause):
        found = problem(headers=headers)
        assert isinstance(found, MediaTypeRejected)
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
    def test_a_body_of_a_known_type_is_taken(self, text):
        headers = {"Content-Type": text}
        if text.startswith(VND):
            headers["Accept"] = text
        rest = request(headers=headers)
        rest.take_body(b"{}")
        assert rest.body == b"{}"

    @pytest.mark.parametrize(
        "text", ["text/plain", "application/xml", "application/json, text/plain"]
    )
    def test_a_body_of_another_type_is_refused(self, text):
        rest = request(headers={"Content-Type": text})
        rest.take_body(b"")
        with pytest.raises(PlainError) as caught:
            rest.take_body(b"x")
        assert caught.value.envelope() == {
            "error": f"Content-Type header [{text}] is not supported",
            "status": 406,
        }

    def test_a_body_without_a_type_is_refused(self):
        with pytest.raises(PlainError, match=r"Content-Type header \[\] is not supported"):
            request().take_body(b"x")

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
    def test_versions_must_be_known_and_match(self, accept, content, cause):
        headers = {"Accept": accept, "Content-Type": content}
        rest = request(headers={name: text for name, text in headers.items() if text})
        with pytest.raises(MediaTypeRejected) as caught:
            rest.take_body(b"{}")
        assert isinstance(caught.value.cause, StatusError)
        assert caught.value.cause.reason == cause

    def test_without_a_body_only_accept_counts(self):
        request(headers={"Content-Type": f"{VND};compatible-with=7"}).take_body(b"")

    def test_a_version_of_any_length_is_no_reason_to_fail(self):
        request(headers={"Accept": f"{VND};compatible-with={'9' * 5000}"})

    @given(st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=40))
    def test_any_header_is_read_or_refused(self, text):
        rest = request(headers={"Accept": text, "Content-Type": text, "Accept-Encoding": text})
        refusal_of(lambda: rest.take_body(b"{}"))
        rest.respond(400, {})


class TestBodies:
    def rest(self, headers=None, data=b"", method="PUT"):
        rest = request("/p", method, {"Content-Type": "application/json", **(headers or {})})
        rest.take_body(b"".join(rest.inflated(data)) if data and rest.is_encoded() else data)
        return rest

    def test_a_body_may_be_required_or_refused(self):
        with pytest.raises(ParseFailed, match="request body is required"):
            self.rest().require_body()
        with pytest.raises(IllegalArgument) as caught:
            self.rest(data=b"{}", method="GET").refuse_body()
        assert caught.value.reason == "request [GET /p] does not support having a body"
        self.rest().refuse_body()

    @pytest.mark.parametrize("data", [b"[]", b'"x"', b"null", b"1", b"  ", b"// nothing"])
    def test_what_is_no_object_is_an_empty_map(self, data):
        assert self.rest(data=data).body_map() == {}

    def test_a_body_is_read_by_its_type(self):
        rest = self.rest({"Content-Type": "application/yaml"}, b"a: [1, x]")
        assert rest.body_map() == {"a": [1, "x"]}
        rest = self.rest({"Content-Type": "application/cbor"}, cbor2.dumps({"a": 1}))
        assert rest.body_map() == {"a": 1}

    @pytest.mark.parametrize(
        ("encoding", "data"),
        [
            ("gzip", ZIPPED),
            ("GZIP", ZIPPED),
            ("x-gzip", ZIPPED),
            ("deflate", zlib.compress(b"{}")),
            ("br", b"{}"),
            ("identity", b"{}"),
        ],
    )
    def test_known_encodings_are_undone(self, encoding, data):
        assert self.rest({"Content-Encoding": encoding}, data).body == b"{}"

    @pytest.mark.parametrize("data", [b"no gzip", ZIPPED[:-1], ZIPPED[:15]])
    def test_a_broken_encoding_is_refused(self, data):
        error = refusal_of(lambda: self.rest({"Content-Encoding": "gzip"}, data))
        assert error is not None
        assert error.status == 400

    def test_a_body_is_inflated_in_pieces(self):
        rest = request(headers={"Content-Encoding": "gzip"})
        pieces = rest.inflated(gzip.compress(b"x" * 5_000_000))
        assert [len(piece) for piece in pieces] == [1 << 20] * 4 + [5_000_000 - (4 << 20)]

    def test_no_body_needs_no_decoding(self):
        assert self.rest({"Content-Encoding": "gzip"}).body == b""

    @given(st.binary(max_size=40), st.sampled_from(["gzip", "deflate"]))
    def test_any_bytes_are_decoded_or_refused(self, data, encoding):
        refusal_of(lambda: self.rest({"Content-Encoding": encoding}, data))


class TestAnswers:
    def test_the_format_parameter_beats_accept_and_that_the_body(self):
        rest = request("/x?format=YAML", headers={"Accept": "application/cbor"})
        answer = rest.respond(200, {"a": 1})
        assert (answer.headers["content-type"], answer.body) == ("application/yaml", b"---\na: 1\n")
        rest = request(headers={"Accept": "application/cbor"})
        assert cbor2.loads(rest.respond(200, {"a": 1}).body) == {"a": 1}
        rest = request(headers={"Content-Type": "application/yaml"})
        rest.take_body(b"a: 1")
        assert yaml.safe_load(rest.respond(400, {"a": 1}).body) == {"a": 1}

    @pytest.mark.parametrize("name", ["smile", "xml", ""])
    def test_unknown_formats_are_ignored(self, name):
        assert request(f"/x?format={name}").respond(200, {}).body == b"{}"

    def test_pretty_is_for_json(self):
        assert request("/x?pretty").respond(200, {"a": 1}).body == b'{\n  "a" : 1\n}\n'
        assert request("/x?pretty=false").respond(200, {"a": 1}).body == b'{"a":1}'
        assert request("/x?pretty&format=yaml").respond(200, {"a": 1}).body == b"---\na: 1\n"

    def test_errors_are_not_filtered(self):
        rest = request("/x?filter_path=a")
        assert json.loads(rest.respond(200, {"a": 1, "b": 2}).body) == {"a": 1}
        assert json.loads(rest.respond(400, {"a": 1, "b": 2}).body) == {"a": 1, "b": 2}
        assert rest.respond(200, {"b": 2}).body == b"{}"

    @pytest.mark.parametrize(
        ("status", "shown"),
        [(200, True), (400, True), (401, False), (403, False), (404, True), (503, True)],
    )
    def test_refused_callers_do_not_learn_the_products_name(self, status, shown):
        assert ("X-elastic-product" in request().respond(status, {}).headers) is shown

    @pytest.mark.parametrize("value", ["abc", "", "ü"])
    def test_the_callers_own_id_comes_back(self, value):
        rest = request(headers={"X-Opaque-Id": value})
        for status in (200, 401, 403):
            assert rest.respond(status, {}).headers["X-Opaque-Id"] == value

    def test_two_ids_are_one_too_many(self):
        found = problem(headers=[("X-Opaque-Id", "a"), ("X-Opaque-Id", "b")])
        assert found.reason == "multiple values for single-valued header [X-Opaque-Id]."

    @pytest.mark.parametrize(
        ("accepted", "encoding", "decode"),
        [
            ("gzip", "gzip", gzip.decompress),
            ("GZIP, br", "gzip", gzip.decompress),
            ("deflate, gzip", "gzip", gzip.decompress),
            ("deflate", "deflate", zlib.decompress),
            ("br, zstd", None, bytes),
            ("", None, bytes),
        ],
    )
    def test_answers_are_compressed_as_wished(self, accepted, encoding, decode):
        for status in (200, 400):
            answer = request(headers={"Accept-Encoding": accepted}).respond(status, {"a": "b" * 99})
            assert answer.headers.get("content-encoding") == encoding
            assert json.loads(decode(answer.body)) == {"a": "b" * 99}

    @pytest.mark.parametrize("accepted", ["gzip;q=0", "gzip;q=0, identity", "gzip; q=0.0"])
    def test_an_encoding_that_is_not_wished_is_not_used(self, accepted):
        answer = request(headers={"Accept-Encoding": accepted}).respond(200, {})
        assert "content-encoding" not in answer.headers

    def test_a_trace_is_wished_by_the_parameter(self):
        assert request("/x?error_trace").wants_trace()
        assert not request("/x").wants_trace()
        assert not request("/x?error_trace=maybe").wants_trace()
