from __future__ import annotations

import json

import pytest
from hypothesis import given

from proxy.ground.errors import ActionRequestInvalid, ProxyError
from proxy.inference.endpoints import TaskType
from proxy.inference.requests import (
    InferenceRequest,
    parse_inference_request,
    plain_request,
    refuse_input_type,
)
from tests.support.bodies import read_body
from tests.support.samples import PROFILE, json_objects, json_values, refusal_of

P = "[cluster:internal/xpack/inference]"


def read(text: str) -> InferenceRequest:
    return parse_inference_request(read_body(text.encode()))


def refused(text: str) -> ProxyError:
    error = refusal_of(lambda: read(text))
    assert error is not None
    assert error.status == 400
    return error


class TestReading:
    def test_reads_every_field(self):
        body = {
            "input": ["a", "b"],
            "query": "q",
            "return_documents": True,
            "top_n": 3,
            "input_type": " Search ",
            "task_settings": {"x": [1, None]},
            "timeout": "30s",
        }
        assert read(json.dumps(body)) == InferenceRequest(
            input=["a", "b"],
            query="q",
            return_documents=True,
            top_n=3,
            input_type="search",
            task_settings={"x": [1, None]},
        )

    @pytest.mark.parametrize(
        ("text", "inputs"),
        [
            ('"a"', ["a"]),
            ('""', [""]),
            ("[]", []),
            (
                '["a", 1, 1.50, -0, 1e3, true, false, ""]',
                ["a", "1", "1.50", "-0", "1e3", "true", "false", ""],
            ),
            ('["😀\\n"]', ["😀\n"]),
        ],
    )
    def test_inputs_are_texts_and_scalars_by_their_text(self, text, inputs):
        assert read(f'{{"input":{text}}}').input == inputs

    @pytest.mark.parametrize(
        ("value", "kind"),
        [
            ("null", "VALUE_NULL"),
            ("1", "VALUE_NUMBER"),
            ("true", "VALUE_BOOLEAN"),
            ("{}", "START_OBJECT"),
        ],
    )
    def test_an_input_of_another_kind_is_refused(self, value, kind):
        reason = f"[1:10] {P} input doesn't support values of type: {kind}"
        assert refused(f'{{"input":{value}}}').reason == reason

    @pytest.mark.parametrize(
        ("items", "where", "cause"),
        [
            ('"a",null', 15, "Expected text at 1:15 but found VALUE_NULL"),
            ('"a",{}', 15, "Expected text at 1:15 but found START_OBJECT"),
            ('"a",["b"]', 15, "expected value but got [START_ARRAY]"),
        ],
    )
    def test_what_is_no_scalar_in_the_list_is_refused(self, items, where, cause):
        error = refused(f'{{"input":[{items}]}}')
        assert error.reason == f"[1:{where}] {P} failed to parse field [input]"
        assert error.cause is not None
        assert error.cause.reason == cause

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            ("[]", f"[1:1] {P} Expected START_OBJECT but was: START_ARRAY"),
            ('{"input":"a","foo":1}', f"[1:14] {P} unknown field [foo]"),
            ('{"Input":"a"}', f"[1:2] {P} unknown field [Input] did you mean [input]?"),
            ('{"query":1}', f"[1:10] {P} query doesn't support values of type: VALUE_NUMBER"),
            ('{"query":null}', f"[1:10] {P} query doesn't support values of type: VALUE_NULL"),
            (
                '{"task_settings":[]}',
                f"[1:18] {P} task_settings doesn't support values of type: START_ARRAY",
            ),
            ('{"top_n":true}', f"[1:10] {P} top_n doesn't support values of type: VALUE_BOOLEAN"),
            ('{"timeout":5}', f"[1:12] {P} timeout doesn't support values of type: VALUE_NUMBER"),
        ],
    )
    def test_fields_of_the_wrong_kind_are_refused_with_their_place(self, body, reason):
        assert refused(body).reason == reason

    @pytest.mark.parametrize(
        ("field", "cause"),
        [
            (
                '"return_documents":"yes"',
                "Failed to parse value [yes] as only [true] or [false] are allowed.",
            ),
            ('"input_type":"foo"', "No enum constant org.elasticsearch.inference.InputType.FOO"),
            ('"input_type":"internal_search"', "Unrecognized input_type [internal_search]"),
            (
                '"timeout":"abc"',
                "failed to parse setting [timeout] with value [abc] as a time value:"
                " unit is missing or unrecognized",
            ),
            ('"top_n":"x"', 'For input string: "x"'),
        ],
    )
    def test_fields_of_the_wrong_value_tell_it_as_the_cause(self, field, cause):
        error = refused("{" + field + "}")
        assert "failed to parse field [" in error.reason
        assert error.cause is not None
        assert error.cause.reason == cause

    @pytest.mark.parametrize("body", ["", "  "])
    def test_a_blank_body_is_no_object(self, body):
        assert "Expected START_OBJECT but was: null" in refused(body).reason

    @pytest.mark.parametrize("media", ["yaml", "cbor"])
    def test_other_formats_are_read_alike(self, media):
        import cbor2

        body = {"input": ["ü", 1, True], "top_n": 2, "return_documents": True, "query": "q"}
        data = cbor2.dumps(body) if media == "cbor" else json.dumps(body).encode()
        request = parse_inference_request(read_body(data, media))
        assert request.input == ["ü", "1", "true"]
        assert (request.top_n, request.return_documents) == (2, True)

    @given(json_objects | json_values)
    def test_any_body_is_a_request_or_refused(self, body):
        error = refusal_of(lambda: read(json.dumps(body)))
        assert error is None or error.status == 400

    @given(json_values)
    def test_any_input_is_a_list_of_texts_or_refused(self, value):
        error = refusal_of(lambda: read(json.dumps({"input": value})))
        if error is None:
            inputs = read(json.dumps({"input": value})).input
            assert inputs is not None
            assert all(isinstance(text, str) for text in inputs)


class TestValidation:
    @pytest.mark.parametrize(
        ("task", "fields", "problem"),
        [
            ("any", {}, "Field [input] cannot be null"),
            ("rerank", {}, "Field [input] cannot be null"),
            ("any", {"input": []}, "Field [input] cannot be an empty array"),
            ("rerank", {"input": ["a"]}, "Field [query] cannot be null for task type [rerank]"),
            (
                "rerank",
                {"input": ["a"], "query": ""},
                "Field [query] cannot be empty for task type [rerank]",
            ),
            (
                "completion",
                {"input": ["a"], "top_n": 1},
                "Field [top_n] cannot be specified for task type [completion]",
            ),
            (
                "completion",
                {"input": ["a"], "top_n": 1, "return_documents": False},
                "Field [return_documents] cannot be specified for task type [completion]",
            ),
            (
                "text_embedding",
                {"input": ["a"], "query": ""},
                "Field [query] cannot be specified for task type [text_embedding]",
            ),
            (
                "sparse_embedding",
                {"input": ["a"], "query": "q"},
                "Field [query] cannot be specified for task type [sparse_embedding]",
            ),
            (
                "rerank",
                {"input": ["a"], "query": "q", "input_type": "search"},
                "Field [input_type] cannot be specified for task type [rerank]",
            ),
        ],
    )
    def test_the_first_problem_is_told(self, task, fields, problem):
        error = refusal_of(lambda: InferenceRequest(**fields).validate(TaskType(task), PROFILE))
        assert isinstance(error, ActionRequestInvalid)
        assert error.reason == f"Validation Failed: 1: {problem};"

    @pytest.mark.parametrize(
        ("task", "fields"),
        [
            ("any", {"query": "", "top_n": 1, "return_documents": True, "input_type": "search"}),
            ("rerank", {"query": "q", "top_n": -1, "return_documents": True}),
            ("text_embedding", {"input_type": "search"}),
            ("completion", {"query": "q", "input_type": "unspecified"}),
            ("sparse_embedding", {"input_type": "unspecified"}),
        ],
    )
    def test_what_a_task_takes_passes(self, task, fields):
        InferenceRequest(input=["a"], **fields).validate(TaskType(task), PROFILE)

    @pytest.mark.parametrize("input_type", ["search", "ingest", "classification", "clustering"])
    def test_no_input_type_means_anything_to_the_service(self, input_type):
        error = refusal_of(lambda: refuse_input_type(input_type))
        assert error is not None
        assert error.reason == (
            f"Validation Failed: 1: Invalid input_type [{input_type}]. "
            "The input_type option is not supported by this service;"
        )
        refuse_input_type(None)
        refuse_input_type("unspecified")


class TestPlainRequests:
    @pytest.mark.parametrize(
        "body",
        [
            b'{"input":"a"}',
            b' { "input" : [ "a" , "" ] } ',
            b'{"input":[]}',
            '{"input":"é 😀 \\n \\" \\\\"}'.encode(),
            b'{"input":["say \\"input\\"!", "a\\tb"]}',
        ],
    )
    def test_are_read_as_by_token(self, body):
        assert plain_request(body) == parse_inference_request(read_body(body))

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{}",
            b'"input"',
            b'["input"]',
            b'{"input":1}',
            b'{"input":null}',
            b'{"input":{"input":"a"}}',
            b'{"input":["a",1]}',
            b'{"input":[["a"]]}',
            b'{"input":["input"]}',
            b'{"input":"a","input":"b"}',
            b'{"input":"a","\\u0069nput":"b"}',
            b'{"input":"a","query":"b"}',
            b'{"input":"a"} trailing',
            b'{"input":"a",}',
            b'{/* why */"input":"a"}',
            b'{"input":"\\ud800"}',
            b'{"input":"\xff"}',
            b'\xef\xbb\xbf{"input":"a"}',
            '{"input":"a"}'.encode("utf-16"),
            b'{"input":["%b"]}' % (b"a" * 64 * 1024),
        ],
    )
    def test_all_others_are_left_to_the_parser(self, body):
        assert plain_request(body) is None

    @given(json_values)
    def test_no_value_is_read_otherwise(self, value):
        body = json.dumps({"input": value}).encode()
        if (found := plain_request(body)) is not None:
            assert found == parse_inference_request(read_body(body))
