from __future__ import annotations

import json

import cbor2
import orjson
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from proxy.config import MAX_NESTING
from proxy.errors import ProxyError, XContentEnd, XContentParseFailed
from proxy.inference.endpoints import TaskType
from proxy.xcontent import filterpath
from proxy.xcontent.document import Document
from proxy.xcontent.filterpath import filter_paths
from proxy.xcontent.formats import WRITERS
from proxy.xcontent.jsonreader import parse_json
from proxy.xcontent.writing import dump_json, dump_pretty, dump_yaml
from tests.support.bodies import BOUNDS, read_body
from tests.support.samples import at_most, json_objects, json_values


def error_of(data: bytes, media: str = "json") -> ProxyError:
    error = read_body(data, media).error
    assert error is not None
    return error


class TestReadingJson:
    @given(json_values, st.booleans(), st.sampled_from([None, 1]))
    def test_reads_what_the_standard_library_reads(self, value, ascii_only, indent):
        data = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
        assert read_body(data).plain() == json.loads(data)

    @given(st.binary(max_size=60))
    def test_any_bytes_are_a_value_or_an_error_of_ours(self, data):
        document = read_body(data)
        if document.error is None:
            document.plain()
        else:
            assert document.error.status == 400
            dump_json(document.error.envelope())

    @given(json_values, st.data())
    def test_a_valid_document_cut_off_anywhere_is_an_error_or_a_whole_value(self, value, data):
        whole = json.dumps(value).encode()
        cut = data.draw(st.integers(0, len(whole)))
        with at_most(2):
            document = read_body(whole[:cut])
        if document.error is None and document.root is not None:
            json.loads(whole[:cut])  # only what is complete passes
        elif document.error is not None:
            assert isinstance(document.error, XContentParseFailed)

    @given(json_values, st.data())
    def test_a_valid_document_with_a_flipped_byte_never_breaks_the_reader(self, value, data):
        whole = bytearray(json.dumps(value).encode())
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
        with at_most(2):
            read_body(bytes(whole))

    @pytest.mark.parametrize(
        "text",
        [
            '// first\n{"a": 1}',
            '/* one */ {"a" /* two */ : 1 // three\n}',
            '{"a": 1} and what follows',
            '{"a": 1}{"a": 2}',
            ' \t\r\n{"a": 1}',
        ],
    )
    def test_comments_blanks_and_what_follows_the_first_value_do_not_matter(self, text):
        assert read_body(text.encode()).plain() == {"a": 1}

    @pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
    def test_reads_every_encoding_of_unicode(self, codec):
        assert read_body('{"a": "ü€😀"}'.encode(codec)).plain() == {"a": "ü€😀"}

    @pytest.mark.parametrize("data", [b"", b"  \n ", b"// nothing\n"])
    def test_blank_bodies_have_no_root(self, data):
        document = read_body(data)
        assert (document.root, document.error, document.plain()) == (None, None, None)

    @pytest.mark.parametrize(
        ("text", "position", "problem"),
        [
            ("{a:1}", "[1:2]", "Unexpected character ('a' (code 97)): was expecting double-quote"),
            ("{'a':1}", "[1:2]", "Unexpected character (''' (code 39))"),
            ('{"a" 1}', "[1:6]", "was expecting a colon to separate field name and value"),
            ('{"a":1 "b":2}', "[1:8]", "was expecting comma to separate Object entries"),
            ("[1 2]", "[1:4]", "was expecting comma to separate Array entries"),
            ('{"a":1,}', "[1:8]", "was expecting double-quote to start field name"),
            ("[1,]", "[1:4]", "Unexpected character (']' (code 93))"),
            ('{"a":\n  tru}', "[2:7]", "Unrecognized token 'tru'"),
            ('{"a":NaN}', "[1:9]", "Non-standard token 'NaN'"),
            ("[1,", "[1:4]", "Unexpected end-of-input within/between Array entries"),
            ('{"a":01}', None, None),
            ('{"a":1.}', None, None),
            ('{"a":+1}', None, None),
            ('{"a":"\t"}', "[1:7]", "Illegal unquoted character ((CTRL-CHAR, code 9))"),
            (r'{"a":"\x"}', None, None),
            (r'{"a":"\ud800"}', None, None),
        ],
    )
    def test_says_what_is_wrong_and_where(self, text, position, problem):
        error = error_of(text.encode())
        assert (error.type, error.status) == ("x_content_parse_exception", 400)
        assert error.cause is not None
        assert error.cause.type == "json_parse_exception"
        if position is not None:
            assert error.reason.startswith(f"{position} ")
            assert problem in error.reason
            assert error.reason == f"{position} {error.cause.reason}"

    @pytest.mark.parametrize(
        ("text", "where"),
        [
            ('{"a":', "Object"),
            ('{"a":1', "Object"),
            ("{", "Object"),
            ("[", "Array"),
            ('[{"a":1}', "Array"),
        ],
    )
    def test_says_that_the_body_ends_too_early(self, text, where):
        error = error_of(text.encode())
        assert isinstance(error, XContentEnd)
        assert error.reason == f"[1:{len(text) + 1}] Unexpected end of file"
        assert error.cause is not None
        assert error.cause.type == "json_e_o_f_exception"
        assert error.cause.reason.startswith(f"Unexpected end-of-input within/between {where}")

    def test_refuses_duplicate_keys_at_each_level_for_itself(self):
        assert read_body(b'{"a":{"a":1},"b":{"a":1}}').error is None
        assert "Duplicate field 'a'" in error_of(b'{"x":[{"a":1,"a":2}]}').reason
        assert "Duplicate field 'a'" in error_of(rb'{"a":1,"\u0061":2}').reason

    def test_positions_count_lines_and_bytes(self):
        document = read_body('{\n "ü": [1,\n\t2]}'.encode())
        assert document.root is not None
        two = document.root.value["ü"].value[1]
        assert document.position(two.start) == (3, 2)
        array = document.root.value["ü"]
        assert document.at(array.start) == "[2:8]"  # ü is two bytes

    def test_quotes_a_bad_body_up_to_500_bytes(self):
        assert '(byte[])"{x}"; line: 1, column: 2]' in error_of(b"{x}").reason
        body = b'{"a":"' + b"b" * 600 + b'",x}'
        reason = error_of(body).reason
        assert f'"[truncated {len(body) - 500} bytes]' in reason
        assert reason.count("b" * 400) == 1
        assert len(reason) < 800

    def test_does_not_quote_what_a_provider_sent(self):
        error = parse_json(b'{"private":x}', BOUNDS, is_private=True).error
        assert error is not None
        assert "private" not in error.reason

    def test_is_as_deep_as_can_be_written_and_no_deeper(self):
        deep = b"[" * MAX_NESTING + b"]" * MAX_NESTING
        assert dump_json(read_body(deep).plain()) == deep
        reason = error_of(b"[" * (MAX_NESTING + 1)).reason
        assert "Document nesting depth (201) exceeds the maximum allowed (200" in reason
        assert read_body(b'{"a":' * 100_000).error is not None

    def test_numbers_keep_their_text_and_have_a_greatest_length(self):
        document = read_body(b"[1.50, -0, 1e2, 10]")
        assert document.root is not None
        nodes = document.root.value
        assert [document.text(node) for node in nodes] == ["1.50", "-0", "1e2", "10"]
        assert [type(node.value) for node in nodes] == [float, int, float, int]
        assert read_body(b"9" * 1000).error is None
        assert "Number value length (1001)" in error_of(b"9" * 1001).reason

    @pytest.mark.parametrize("text", ["a" * 40, r"\n" + "a" * 40, "a" * 1_000_000])
    def test_a_string_without_end_is_refused_at_once(self, text):
        with at_most(2):
            assert isinstance(error_of(b'{"a":"' + text.encode()), XContentEnd)

    @pytest.mark.parametrize(
        ("unit", "count"),
        [
            (b'{"a":[1,"b"]},', 30_000),
            (b"/**/ //\n", 50_000),
            (b"[", 1_000_000),
            (b"/*", 1_000_000),
            (b'"\\n",', 50_000),
        ],
    )
    def test_long_documents_take_time_in_proportion(self, unit, count):
        with at_most(10):
            read_body(b"[" + unit * count + b"1]")


class TestReadingYaml:
    def test_reads_maps_lists_and_scalars(self):
        body = b"a: 1\nb: [x, 'y', 1.5, true, null]\nc: {d: ''}\ne: 2024-01-31\n"
        assert read_body(body, "yaml").plain() == {
            "a": 1,
            "b": ["x", "y", 1.5, True, None],
            "c": {"d": ""},
            "e": "2024-01-31",
        }

    @given(json_objects)
    def test_reads_what_it_writes(self, value):
        document = read_body(dump_yaml(value), "yaml")
        assert document.error is None
        assert list(document.plain()) == list(value)

    @pytest.mark.parametrize(
        "body", [b"a: [", b"a: b: c", b"\x00", b"%YAML 9\n---\n", b"a: &x [*x]"]
    )
    def test_refuses_what_is_no_yaml(self, body):
        error = error_of(body, "yaml")
        assert (error.status, error.type) == (400, "x_content_parse_exception")

    def test_refuses_duplicate_keys(self):
        assert read_body(b"a: 1\na: 2\n", "yaml").error is not None

    def test_finds_texts_behind_letters_of_several_bytes(self):
        document = read_body("input: üüüü\ntop_n: 25\n".encode(), "yaml")
        assert document.root is not None
        assert document.text(document.root.value["top_n"]) == "25"

    @pytest.mark.parametrize(
        "body",
        [
            b"? [a]\n: b",
            b"? {a: b}\n: c",
            b"- " * 2000 + b"x",
        ],
    )
    def test_odd_yaml_is_an_error_of_ours(self, body):
        assert error_of(body, "yaml").status == 400

    @pytest.mark.parametrize(
        "text", ["!!bool x", "!!int ''", "!!float ''", "!!timestamp x", "0x1f"]
    )
    def test_scalars_that_json_could_not_say_are_texts(self, text):
        plain = read_body(f"a: {text}".encode(), "yaml").plain()
        assert plain == {"a": text.rpartition(" ")[2].strip("'")}

    def test_a_date_that_is_none_is_a_text(self):
        assert read_body(b"a: 2001-99-99", "yaml").plain() == {"a": "2001-99-99"}

    def test_lone_surrogates_are_refused(self):
        assert error_of(rb'a: "\uD800"', "yaml").status == 400

    def test_aliases_cannot_blow_a_document_up(self):
        lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
        for n in range(1, 6):
            lines.append(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]")
        with at_most(1):
            read_body("\n".join(lines).encode(), "yaml")


class TestReadingCbor:
    @given(json_objects)
    def test_reads_what_it_writes(self, value):
        assert read_body(WRITERS["cbor"](value), "cbor").plain() == value

    @given(st.binary(max_size=40))
    def test_any_bytes_are_a_value_or_an_error_of_ours(self, data):
        document = read_body(data, "cbor")
        assert document.error is None or document.error.status == 400

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\xff",
            bytes.fromhex("9bffffffffffffffff"),
            bytes.fromhex("5b0000ffffffffffff"),
            bytes.fromhex("d81c81d81d00"),  # a list that holds itself
            cbor2.dumps(b"bytes"),
            cbor2.dumps({"a": cbor2.undefined}),
            b"\x81" * 2000 + b"\x00",
        ],
    )
    def test_refuses_what_json_could_not_say(self, data):
        reason = error_of(data, "cbor").reason
        assert reason.startswith(("[1:1] malformed CBOR", "[1:1] the body goes beyond the limit"))

    def test_scalars_have_the_texts_of_json(self):
        document = read_body(cbor2.dumps([True, False, 1e10]), "cbor")
        assert document.root is not None
        texts = [document.text(node) for node in document.root.value]
        assert texts == ["true", "false", "1.0E10"]

    @pytest.mark.parametrize("data", [b"\x81" * 300 + b"\x00", cbor2.dumps({"a": 10**5000})])
    def test_what_could_not_be_written_again_is_refused(self, data):
        assert error_of(data, "cbor").status == 400

    def test_shared_values_cannot_blow_a_document_up(self):
        data = b"\x87\xd8\x1c\x88" + b"\x00" * 8
        for n in range(6):
            data += b"\xd8\x1c\x88" + (b"\xd8\x1d" + bytes([n])) * 8
        with at_most(1):
            read_body(data, "cbor")


class TestWriting:
    @given(json_values)
    def test_every_format_can_be_read_again(self, value):
        assert orjson.loads(dump_json(value)) == value
        assert orjson.loads(dump_pretty(value)) == value
        assert cbor2.loads(WRITERS["cbor"](value)) == value

    @given(json_objects)
    def test_yaml_can_be_read_again(self, value):
        assert yaml.safe_load(dump_yaml(value)) == value

    @pytest.mark.parametrize("kind", sorted(WRITERS))
    def test_task_types_are_written_as_texts(self, kind):
        data = WRITERS[kind]({"task_type": TaskType.RERANK})
        assert read_body(data, kind).plain() == {"task_type": "rerank"}

    def test_pretty_json_looks_like_elasticsearchs(self):
        value = {"a": [], "b": {}, "c": [1, {"d": None}], "e": "é"}
        assert dump_pretty(value).decode() == (
            '{\n  "a" : [ ],\n  "b" : { },\n  "c" : [\n    1,\n    {\n      "d" : null\n'
            '    }\n  ],\n  "e" : "é"\n}\n'
        )

    def test_yaml_looks_like_elasticsearchs(self):
        assert dump_yaml({"a": {"b": "x", "n": 1}, "c": [True, None], "d": []}).decode() == (
            '---\na:\n  b: "x"\n  n: 1\nc:\n- true\n- null\nd: []\n'
        )


SAMPLE = {
    "error": {"root_cause": [{"type": "t", "reason": "r"}], "type": "t", "reason": "r"},
    "status": 400,
}


class TestFilterPath:
    @pytest.mark.parametrize(
        ("filters", "kept"),
        [
            ("status", {"status": 400}),
            ("error.type", {"error": {"type": "t"}}),
            ("error.root_cause.type", {"error": {"root_cause": [{"type": "t"}]}}),
            ("error.*", {"error": SAMPLE["error"]}),
            ("*.type", {"error": {"type": "t"}}),
            ("**.type", {"error": {"root_cause": [{"type": "t"}], "type": "t"}}),
            ("**", SAMPLE),
            ("*", SAMPLE),
            ("sta*", {"status": 400}),
            ("*a*u*", {"status": 400}),
            ("status,error.reason", {"error": {"reason": "r"}, "status": 400}),
            (" status , ", {"status": 400}),
            ("-error", {"status": 400}),
            ("-**.reason", {"error": {"root_cause": [{"type": "t"}], "type": "t"}, "status": 400}),
            ("-error.root_cause.*", {"error": {"type": "t", "reason": "r"}, "status": 400}),
            ("-*", {}),
            ("error,-error.root_cause", {"error": {"type": "t", "reason": "r"}}),
            ("nothing", {}),
            ("error.nothing", {}),
            ("status.nothing", {}),
            ("Status", {}),
            ("stat?s", {}),
        ],
    )
    def test_keeps_what_is_named(self, filters, kept):
        assert filter_paths(SAMPLE, filters) == kept

    def test_only_what_an_exclusion_empties_goes_with_it(self):
        value = {"a": {}, "b": [], "c": [{"x": 1}, {"x": 1, "y": None}], "d": {"e": {"x": 1}}}
        assert filter_paths(value, "-**.x") == {"a": {}, "b": [], "c": [{"y": None}]}

    def test_an_escaped_point_belongs_to_the_name(self):
        value = {"rate_limit.requests_per_minute": {"type": "int"}, "rate_limit": 1}
        kept = {"rate_limit.requests_per_minute": {"type": "int"}}
        assert filter_paths(value, r"rate_limit\.requests_per_minute") == kept

    def test_filters_the_elements_of_lists(self):
        services = [{"service": "a", "name": "A"}, {"service": "b"}]
        assert filter_paths(services, "service") == [{"service": "a"}, {"service": "b"}]
        assert filter_paths(services, "name") == [{"name": "A"}]
        assert filter_paths(services, "x") == {}

    def test_empty_objects_and_lists_are_kept_when_they_are_named(self):
        assert filter_paths({"a": {}, "b": []}, "a,b") == {"a": {}, "b": []}

    @given(json_objects, st.text("ab.*-,\\", max_size=12))
    def test_any_filter_keeps_a_part_of_the_value(self, value, filters):
        kept = filter_paths(value, filters)
        assert isinstance(kept, dict)
        if "-" not in filters:
            assert set(kept) <= set(value)

    def test_many_double_stars_take_no_longer_than_one(self):
        value = {"a": {"a": {"a": {"a": {"a": {"a": 1}}}}}}
        with at_most(1):
            filter_paths(value, ".".join(["**"] * 100) + ".zz")

    def test_a_long_filter_is_no_reason_to_fail(self):
        assert filter_paths(SAMPLE, ".".join(["**"] * 2000)) in (SAMPLE, {})

    def test_patterns_of_callers_are_not_kept_for_ever(self):
        assert filterpath._wildcard.cache_parameters()["maxsize"] is not None


def test_a_document_with_an_error_has_no_plain_value():
    document = Document(b"", None, XContentParseFailed("[1:1] no"))
    with pytest.raises(XContentParseFailed):
        document.plain()
