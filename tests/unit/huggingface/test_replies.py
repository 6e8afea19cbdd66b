from __future__ import annotations

import json
from functools import partial

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.ground.errors import ParsingFailed
from proxy.ground.sse import ServerSentEvent
from proxy.huggingface.failures import failed_to_send
from proxy.huggingface.replies import (
    flawless_embeddings,
    parse_completion,
    parse_completion_event,
    parse_embeddings,
    parse_rerank,
    parse_sparse,
)
from proxy.inference.endpoints import TaskType
from proxy.inference.results import RankedDocument, SparseVector
from tests.support.samples import (
    ID,
    NO_OBJECTS,
    json_objects,
    json_values,
    make_endpoint,
    problem,
    refusal_of,
)


def floats(reply: bytes) -> list[list[float]]:
    return [vector.to_list() for vector in parse_embeddings(reply)]


class TestEmbeddings:
    @pytest.mark.parametrize(
        ("reply", "vectors"),
        [
            ("[[0.5,1],[-2,1e3]]", [[0.5, 1.0], [-2.0, 1000.0]]),
            ('{"embeddings":[[1]]}', [[1.0]]),
            ('{"model":"m","usage":{"a":[1]},"embeddings":[[1]],"x":2}', [[1.0]]),
            ("[]", []),
            ("[[]]", [[]]),
            ("[[1],[1,2]]", [[1.0], [1.0, 2.0]]),
            ("[[1]] and more", [[1.0]]),
            ("[[1]]]", [[1.0]]),
            ('{"embeddings":[[1]], x', [[1.0]]),
            ("[[3.4028234663852886e38]]", [[3.4028234663852886e38]]),
            ("[[3.4028235e38,-3.4028235E+38]]", [[3.4028235e38, -3.4028235e38]]),
            ("[[ 3.4028235677973362e38]] x", [[3.4028235677973362e38]]),
        ],
    )
    def test_both_shapes_are_read(self, reply, vectors):
        found = floats(reply.encode())
        assert found == vectors
        assert all(type(number) is float for vector in found for number in vector)

    @pytest.mark.parametrize(
        ("reply", "reason", "col"),
        [
            ("[0.1]", "expecting token of type [START_ARRAY] but found [VALUE_NUMBER]", 2),
            ("[[0.1],null]", "expecting token of type [START_ARRAY] but found [VALUE_NULL]", 8),
            ("[[[0.1]]]", "expecting token of type [VALUE_NUMBER] but found [START_ARRAY]", 3),
            ('[["0.1"]]', "expecting token of type [VALUE_NUMBER] but found [VALUE_STRING]", 3),
            ("[[1, null]]", "expecting token of type [VALUE_NUMBER] but found [VALUE_NULL]", 6),
            ("[[true]]", "expecting token of type [VALUE_NUMBER] but found [VALUE_BOOLEAN]", 3),
            (
                '{"embeddings":{}}',
                "expecting token of type [START_ARRAY] but found [START_OBJECT]",
                15,
            ),
            ('"x"', "unexpected token [VALUE_STRING] found", 1),
            ("42", "unexpected token [VALUE_NUMBER] found", 1),
            ("null", "unexpected token [VALUE_NULL] found", 1),
        ],
    )
    def test_the_wrong_shape_is_told_with_its_place(self, reply, reason, col):
        error = problem(lambda: parse_embeddings(reply.encode()))
        assert isinstance(error, ParsingFailed)
        assert error.reason == f"Failed to parse object: {reason}"
        assert error.extra == {"line": 1, "col": col}

    @pytest.mark.parametrize("reply", ["{}", '{"error":"x"}', '{"data":[[1]]}'])
    def test_an_object_without_embeddings_lacks_a_field(self, reply):
        error = problem(lambda: parse_embeddings(reply.encode()))
        assert error.reason == (
            "Failed to find required field [embeddings] in Hugging Face embeddings response"
        )

    @pytest.mark.parametrize(
        "reply",
        [
            "[[NaN]]",
            "<html>",
            "[[1",
            '{"embeddings":[[1]',
            "",
            " ",
            "[[1e39]]",
            "[[-1e39]]",
            "[[3.4028235677973366e38]]",
            "[[1, -3.4028236e38 ]]",
            "[[1e999]]",
            "[[" + "9" * 60 + "]]",
            "[[1],",
            '{"a":1,"a":2}',
        ],
    )
    def test_what_cannot_be_read_is_an_error(self, reply):
        problem(lambda: parse_embeddings(reply.encode()))

    @given(st.lists(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False))))
    def test_the_numbers_are_those_of_the_reply(self, vectors):
        for separators in ((", ", ": "), (",", ":"), (" ,\n", ":\t")):
            assert floats(json.dumps(vectors, separators=separators).encode()) == vectors
            reply = json.dumps({"embeddings": vectors}, separators=separators)
            assert floats(reply.encode()) == vectors

    @given(st.lists(st.text(alphabet='0123456789+-.eE, []tn"', max_size=12), max_size=4))
    def test_only_arrays_of_numbers_are_kept_as_they_are(self, texts):
        reply = f"[[{','.join(texts)}]]".encode()
        for vector in flawless_embeddings(reply) or []:
            assert all(type(number) is float for number in orjson.loads(vector.json))
            assert len(vector.to_list()) == len(vector)

    def test_what_the_provider_has_written_is_kept(self):
        text = b"[-0.0,1.2500,3.0E-5]"
        assert [one.json for one in parse_embeddings(b"[ %b ,[ 1.0 , 2 ]]" % text)] == [
            text,
            b"[1.0,2.0]",
        ]


class TestSparse:
    def test_tokens_keep_their_order_and_tell_what_was_cut(self):
        assert parse_sparse(b'[{"b":1,"a":0.5},{}]', [True, False]) == [
            SparseVector({"b": 1.0, "a": 0.5}, True),
            SparseVector({}, False),
        ]

    @pytest.mark.parametrize(
        "reply", ["{}", "[1]", "[[{}]]", '[{"a":"1"}]', '[{"a":null}]', '[{"a":1}', "[{},", "x"]
    )
    def test_the_wrong_shape_is_an_error(self, reply):
        problem(lambda: parse_sparse(reply.encode(), []))

    @pytest.mark.parametrize("weight", ["1e999", "1e39", "9" * 400, "-" + "9" * 400])
    def test_a_weight_no_float_can_hold_is_an_error(self, weight):
        problem(lambda: parse_sparse(f'[{{"a":{weight}}}]'.encode(), [False]))


class TestRerank:
    def test_documents_are_read_in_the_replys_order(self):
        reply = '[{"index":"1","score":"0.5","x":[]},{"score":1,"text":"t","index":0.9}]'
        assert parse_rerank(reply.encode(), 2) == [
            RankedDocument(1, 0.5),
            RankedDocument(0, 1.0, "t"),
        ]
        assert parse_rerank(b"[]", 2) == []

    @pytest.mark.parametrize(
        ("reply", "reason"),
        [
            ('[{"index":0}]', "Required [score]"),
            ("[{}]", "Required [index, score]"),
            (
                '[{"index":0,"score":null}]',
                "[1:21] [hugging_face_rerank_response] score doesn't support values of type: "
                "VALUE_NULL",
            ),
            (
                '[{"text":null}]',
                "[1:10] [hugging_face_rerank_response] text doesn't support values of type: "
                "VALUE_NULL",
            ),
            (
                '{"results":[]}',
                "Failed to parse object: expecting token of type [START_ARRAY] but "
                "found [START_OBJECT]",
            ),
            (
                "[1]",
                "Failed to parse object: expecting token of type [START_OBJECT] but found "
                "[VALUE_NUMBER]",
            ),
        ],
    )
    def test_the_wrong_shape_is_told(self, reply, reason):
        assert problem(lambda: parse_rerank(reply.encode(), 1)).reason == reason

    @pytest.mark.parametrize("index", ["-1", "2", "99", "2147483648"])
    def test_an_index_outside_the_documents_is_an_error(self, index):
        problem(lambda: parse_rerank(f'[{{"index":{index},"score":1}}]'.encode(), 2))

    @pytest.mark.parametrize("score", ["NaN", '"NaN"', "1e999", "1e39", '"-1e39"', '"x"', "true"])
    def test_a_score_must_be_a_number(self, score):
        problem(lambda: parse_rerank(f'[{{"index":0,"score":{score}}}]'.encode(), 1))


class TestCompletions:
    @pytest.mark.parametrize(
        ("reply", "results"),
        [
            ({"choices": [{"message": {"content": "a"}}, {"message": {"content": ""}}]}, ["a", ""]),
            ({"choices": {"message": {"content": "a", "role": "x"}, "y": 1}, "z": {}}, ["a"]),
            ({"choices": []}, []),
        ],
    )
    def test_each_choice_is_a_result(self, reply, results):
        assert parse_completion(json.dumps(reply).encode()) == results

    @pytest.mark.parametrize(
        "reply",
        [
            "{}",
            "[]",
            '{"choices":null}',
            '{"choices":[1]}',
            '{"choices":[{}]}',
            '{"choices":[{"message":{}}]}',
            '{"choices":[{"message":{"content":null}}]}',
            '{"choices":[{"message":{"content":["a"]}}]}',
            '{"choices":[',
            "x",
        ],
    )
    def test_the_wrong_shape_is_an_error(self, reply):
        problem(lambda: parse_completion(reply.encode()))


PARSERS = [
    parse_embeddings,
    lambda data: parse_sparse(data, []),
    lambda data: parse_rerank(data, 3),
    parse_completion,
]
ODD = [
    b"[" * 100_000,
    b'{"embeddings":' * 100_000,
    b"[[" + b"1," * 10_000 + b"1]]",
    b'[{"a":1,"a":2}]',
    b'"\xff\xfe"',
    b'["\xed\xa0\x80"]',
    rb'[{"\ud800":1}]',
    b"\x00\x00\x00",
    b"\xef\xbb\xbf[[1]]",
    "[[1]]".encode("utf-16"),
    b"[[-0.0, 0.0, 1e-400]]",
    b"Infinity",
    b"[[Infinity]]",
    b'{"choices":[{"message":{"content":"' + b"x" * 100_000,
]


class TestHalvesOfCharacters:
    """A text that was cut amid an emoji, as Jackson reads it: orjson does not."""

    def test_every_reply_may_hold_them(self):
        assert parse_completion(rb'{"choices":[{"message":{"content":"a\ud83d"}}]}') == ["a\ud83d"]
        assert parse_rerank(rb'[{"index":0,"score":1,"text":"\ude00b"}]', 1) == [
            RankedDocument(0, 1.0, "\ude00b")
        ]
        assert parse_sparse(rb'[{"\ud83d":1}]', [False]) == [SparseVector({"\ud83d": 1.0}, False)]
        assert floats(rb'{"model":"\ud83d","embeddings":[[1]]}') == [[1.0]]

    def test_what_else_is_wrong_with_a_text_is_an_error(self):
        for text in (rb'"\ud83d\x"', b'"\\ud83d\t"', b'"\\ud83d\xff"', b'"\\ud83d'):
            reply = b'{"choices":[{"message":{"content":' + text + b"}}]}"
            problem(partial(parse_completion, reply))


class TestAnyReply:
    @pytest.mark.parametrize("parse", PARSERS)
    @pytest.mark.parametrize("data", ODD)
    def test_odd_replies_are_results_or_errors(self, parse, data):
        error = refusal_of(lambda: parse(data))
        if error is not None:
            orjson.dumps(failed_to_send(make_endpoint(), error).envelope())

    @given(st.binary(max_size=40), st.sampled_from(PARSERS))
    def test_any_bytes_are_a_result_or_an_error(self, data, parse):
        refusal_of(lambda: parse(data))

    @given(json_values, st.sampled_from(PARSERS))
    def test_any_json_is_a_result_or_an_error(self, value, parse):
        refusal_of(lambda: parse(json.dumps(value).encode()))

    @given(
        st.lists(st.fixed_dictionaries({"index": json_values, "score": json_values})),
        st.lists(json_objects),
        st.lists(st.fixed_dictionaries({"message": json_values})),
    )
    def test_anything_close_to_a_reply_is_a_result_or_an_error(self, ranked, sparse, choices):
        refusal_of(lambda: parse_rerank(json.dumps(ranked).encode(), 3))
        refusal_of(lambda: parse_sparse(json.dumps(sparse).encode(), []))
        refusal_of(lambda: parse_completion(json.dumps({"choices": choices}).encode()))


def parse_delta(event: ServerSentEvent) -> list[str]:
    return parse_completion_event(event, make_endpoint(TaskType.COMPLETION))


class TestCompletionEvents:
    @pytest.mark.parametrize(
        ("data", "deltas"),
        [
            ('{"choices":[{"delta":{"content":"a"}}]}', ["a"]),
            ('{"choices":[{"delta":{"content":"a"}},{"delta":{"content":"b"}}]}', ["a", "b"]),
            ('{"choices":[{"delta":{"content":null}}]}', []),
            ('{"choices":[{"delta":{"content":""}}]}', []),
            ('{"choices":[{"delta":{}}]}', []),
            ('{"choices":[],"usage":{}}', []),
            ('{"choices":{"delta":{"content":"a"}}}', ["a"]),
            (r'{"choices":[{"delta":{"content":"a\ud83d"}}]}', ["a\ud83d"]),
            ('{"choices":[{"delta":{"content":"a"}}],"error":null}', ["a"]),
            ('{"choices":[{"delta":{"content":"a"}}],"error":""}', ["a"]),
        ],
    )
    def test_deltas_are_the_contents_that_are_none_empty(self, data, deltas):
        assert parse_delta(ServerSentEvent(data)) == deltas

    @pytest.mark.parametrize(
        ("data", "field"),
        [
            ("{}", "choices"),
            ('{"choices":[{}]}', "delta"),
            ('{"choices":[1]}', "delta"),
        ],
    )
    def test_a_missing_field_is_named(self, data, field):
        error = problem(lambda: parse_delta(ServerSentEvent(data)))
        assert (error.status, error.type) == (500, "illegal_state_exception")
        assert error.reason == (
            f"Failed to find required field [{field}] in OpenAI chat completions response"
        )

    @pytest.mark.parametrize(
        ("event", "data", "text"),
        [
            ("message", '{"error":"x"}', "x"),
            ("message", '{"error":{"message":"x","http_status_code":422}}', "x"),
            ("message", '{"error":{"message":"x"},"choices":[]}', "x"),
            ("message", '{"object":"error","message":"x","code":400}', "x"),
            ("error", '{"code":400,"message":"x"}', "x"),
            ("error", "{}", "unknown"),
            ("error", "out of memory", "out of memory"),
            ("message", '{"error":["one","two"]}', "one; two"),
        ],
    )
    def test_an_error_keeps_its_text_as_in_a_chat(self, event, data, text):
        error = problem(lambda: parse_delta(ServerSentEvent(data, event)))
        assert (error.status, error.type) == (400, "status_exception")
        assert error.reason == f"Received an error response {ID}. Error message: [{text}]"

    @pytest.mark.parametrize(
        ("data", "expected", "found", "col"),
        [
            ('{"choices":5}', "START_ARRAY", "VALUE_NUMBER", 12),
            ('{"choices":[{"delta":5}]}', "START_OBJECT", "VALUE_NUMBER", 22),
            ('{"choices":[{"delta":{"content":5}}]}', "VALUE_STRING", "VALUE_NUMBER", 33),
        ],
    )
    def test_a_wrong_token_is_named(self, data, expected, found, col):
        error = problem(lambda: parse_delta(ServerSentEvent(data)))
        assert error.envelope()["error"] | {"root_cause": None} == {
            "root_cause": None,
            "type": "parsing_exception",
            "reason": (
                f"Failed to parse object: expecting token of type [{expected}] but found [{found}]"
            ),
            "line": 1,
            "col": col,
        }

    @pytest.mark.parametrize("data", NO_OBJECTS)
    def test_events_that_are_no_objects_are_errors(self, data):
        problem(lambda: parse_delta(ServerSentEvent(data)))

    @given(json_values)
    @example({"choices": "x"})
    @example({"choices": [{"delta": [1]}]})
    def test_any_event_is_read_or_an_error(self, value):
        event = ServerSentEvent(json.dumps(value))
        refusal_of(lambda: parse_delta(event))
