from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import (
    IllegalArgument,
    ProxyError,
    StatusError,
    ValidationFailed,
    XContentEnd,
    XContentParseFailed,
)
from proxy.inference.fields import Fields, Problems, refuse_unknown
from proxy.xcontent.javatext import java_double, java_hash_order, java_text
from proxy.xcontent.objectparser import (
    ARRAY,
    BOOLEAN,
    NUMBER,
    OBJECT,
    STRING,
    Field,
    Located,
    ObjectParser,
    read_boolean,
    read_float,
    read_int,
    read_plain,
    read_string,
)
from proxy.xcontent.suggestions import did_you_mean
from proxy.xcontent.times import parse_time, time_text
from proxy.xcontent.values import parse_boolean
from tests.support.bodies import read_body
from tests.support.samples import TOKEN, at_most, json_values, refusal_of


class TestJavasTexts:
    @pytest.mark.parametrize(
        ("number", "text"),
        [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (100.0, "100.0"),
            (0.001, "0.001"),
            (9.999e-4, "9.999E-4"),
            (9999999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (12345678.9, "1.23456789E7"),
            (1e10, "1.0E10"),
            (1e-8, "1.0E-8"),
            (-2.5e-5, "-2.5E-5"),
            (1e300, "1.0E300"),
            (1.7976931348623157e308, "1.7976931348623157E308"),
            (math.inf, "Infinity"),
            (-math.inf, "-Infinity"),
            (math.nan, "NaN"),
        ],
    )
    def test_doubles_are_printed_as_java_does(self, number, text):
        assert java_double(number) == text

    @given(st.floats(allow_nan=False, allow_infinity=False))
    def test_a_printed_double_is_the_same_number(self, number):
        text = java_double(number)
        assert float(text) == number
        assert "." in text
        assert ("E" in text) == (number != 0 and not 1e-3 <= abs(number) < 1e7)

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (None, "null"),
            (True, "true"),
            (1, "1"),
            (1.5, "1.5"),
            ("x", "x"),
            ([1, "x", None, True, 1.5, []], "[1, x, null, true, 1.5, []]"),
            ({"bar": {"a": [1]}, "foo": 1}, "{bar={a=[1]}, foo=1}"),
            ({}, "{}"),
        ],
    )
    def test_values_are_printed_as_java_does(self, value, text):
        assert java_text(value) == text

    @given(json_values)
    def test_any_value_has_a_text(self, value):
        assert isinstance(java_text(value), str)

    def test_maps_are_walked_in_the_order_of_their_hashes(self):
        assert java_hash_order(["foo", "bar", "baz"]) == ["bar", "foo", "baz"]
        assert java_hash_order(["b", "a"]) == ["a", "b"]
        assert java_hash_order(["Aa", "BB"]) == ["Aa", "BB"]  # equal hashes: as they came
        assert java_hash_order(["BB", "Aa"]) == ["BB", "Aa"]

    def test_more_keys_make_a_larger_table(self):
        assert java_hash_order([*"abcdefghijkl"])[:2] == ["a", "b"]
        assert java_hash_order([*"abcdefghijklp"])[:2] == ["a", "b"]
        assert java_hash_order([*"abp"])[0] == "p"  # 112 & 15 is 0, 112 & 31 is 16

    def test_a_token_in_the_wrong_place_is_never_printed(self):
        for value in (
            {"api_key": TOKEN},
            {"a": [{"api_key": TOKEN}]},
            {"api_key": {"deep": [TOKEN]}},
            {"api_key": [TOKEN]},
        ):
            assert TOKEN not in java_text(value)
            assert "api_key=********" in java_text(value)


def fields_of(**values):
    problems = Problems()
    return Fields(values, "scope", problems), problems


def found(problems: Problems) -> list[str]:
    try:
        problems.raise_if_any()
    except ValidationFailed as error:
        text = error.reason.removeprefix("Validation Failed: ")
        return [part.partition(": ")[2] for part in text.split(";") if part]
    return []


class TestSettings:
    def test_what_was_taken_is_no_longer_left_over(self):
        fields, problems = fields_of(a="x", b=1, c=True, d=None)
        assert fields.take_str("a") == "x"
        assert fields.take_positive_int("b") == 1
        assert fields.take_bool("c") is True
        assert fields.take_str("d") is None
        assert fields.left_over == {}
        assert found(problems) == []

    def test_missing_settings_are_none_unless_they_are_required(self):
        fields, problems = fields_of()
        assert (fields.take_str("a"), fields.take_positive_int("b")) == (None, None)
        assert fields.take_map("m") is None
        assert found(problems) == []
        assert fields.take_required_str("a") == ""
        assert fields.take_positive_int("b", required=True) is None
        assert found(problems) == [
            "[scope] does not contain the required setting [a]",
            "[scope] does not contain the required setting [b]",
        ]

    @pytest.mark.parametrize("value", [1, 1.5, True, ["x"], {"x": 1}])
    def test_a_text_must_be_a_text(self, value):
        fields, problems = fields_of(a=value)
        assert fields.take_str("a") is None
        assert found(problems) == [
            f"field [a] is not of the expected type. The value [{java_text(value)}] "
            "cannot be converted to a [String]"
        ]

    def test_a_required_text_of_the_wrong_type_is_not_missing_too(self):
        fields, problems = fields_of(a=5)
        assert fields.take_required_str("a") == ""
        assert len(found(problems)) == 1

    def test_a_text_must_not_be_empty(self):
        fields, problems = fields_of(a="")
        assert fields.take_required_str("a") == ""
        assert found(problems) == [
            "[scope] Invalid value empty string. [a] must be a non-empty string"
        ]

    @pytest.mark.parametrize("value", ["x", 1.0, True, [1], 2**31, -(2**31) - 1])
    def test_an_integer_has_32_bits(self, value):
        fields, problems = fields_of(a=value)
        assert fields.take_positive_int("a") is None
        assert found(problems)[0].endswith("cannot be converted to a [Integer]")

    @pytest.mark.parametrize("value", [0, -1, -(2**31)])
    def test_an_integer_must_be_positive(self, value):
        fields, problems = fields_of(a=value)
        assert fields.take_positive_int("a") is None
        assert found(problems) == [
            f"[scope] Invalid value [{value}]. [a] must be a positive integer"
        ]

    @pytest.mark.parametrize("value", [1, 2**31, 2**63 - 1])
    def test_a_long_has_64_bits(self, value):
        fields, problems = fields_of(a=value)
        assert fields.take_positive_long("a") == value
        assert found(problems) == []

    @pytest.mark.parametrize("value", ["x", 1.0, True, 2**63, {}])
    def test_a_long_must_be_an_integer(self, value):
        fields, problems = fields_of(a=value)
        assert fields.take_positive_long("a") is None
        assert found(problems) == [
            "field [a] is not of one of the expected types. The value "
            f"[{java_text(value)}] cannot be converted to one of [Integer, Long]"
        ]

    @pytest.mark.parametrize("value", [0, -5])
    def test_a_long_must_be_positive(self, value):
        fields, problems = fields_of(a=value)
        assert fields.take_positive_long("a") is None
        assert found(problems) == [f"[scope] Invalid value [{value}]. [a] must be a positive long"]

    @pytest.mark.parametrize("value", [" COSINE ", "cosine", "Cosine"])
    def test_names_are_trimmed_and_of_any_letter_case(self, value):
        fields, _ = fields_of(a=value)
        assert fields.take_enum("a", ("l2_norm", "cosine")) == "cosine"

    def test_an_unknown_name_is_answered_with_the_known_ones_sorted(self):
        fields, problems = fields_of(a=" X ")
        assert fields.take_enum("a", ("l2_norm", "cosine")) is None
        assert found(problems) == [
            "[scope] Invalid value [ X ] received. [a] must be one of [cosine, l2_norm]"
        ]

    @pytest.mark.parametrize("value", ["x", 1, [], True])
    def test_a_map_that_is_none_is_refused_at_once(self, value):
        fields, _ = fields_of(a=value)
        with pytest.raises(IllegalArgument, match=r"cannot be converted to a \[Map\]"):
            fields.take_map("a")

    def test_a_nested_map_shares_the_problems_under_its_own_name(self):
        fields, problems = fields_of(inner={"n": 0})
        inner = fields.take_map("inner")
        assert inner is not None
        inner.take_positive_int("n")
        assert found(problems) == ["[inner] Invalid value [0]. [n] must be a positive integer"]

    def test_left_overs_are_named_with_the_service(self):
        with pytest.raises(StatusError) as caught:
            refuse_unknown({"foo": 1, "bar": [None]}, "hugging_face")
        assert caught.value.reason == (
            "Configuration contains settings [{bar=[null], foo=1}] unknown to the "
            "[hugging_face] service"
        )
        refuse_unknown({}, "hugging_face")

    @given(st.dictionaries(st.sampled_from("abcdefg"), json_values))
    def test_any_values_are_read_or_recorded(self, values):
        problems = Problems()
        fields = Fields(values, "scope", problems)
        fields.take_required_str("a")
        fields.take_positive_int("b", required=True)
        fields.take_positive_long("c")
        fields.take_enum("d", ("x",))
        fields.take_bool("e")
        fields.take_list("f")
        for refusal in (
            refusal_of(problems.raise_if_any),
            refusal_of(lambda: fields.take_map("g")),
        ):
            assert refusal is None or refusal.status == 400
        assert not set(values).intersection("abcdef").intersection(fields.left_over)


INNER = ObjectParser("Inner", {"id": Field(STRING, read_string)}, ("id",))
PARSER = ObjectParser(
    "Outer",
    {
        "name": Field(STRING, read_string),
        "count": Field(NUMBER, read_int),
        "weight": Field(NUMBER, read_float),
        "flag": Field(BOOLEAN, read_boolean),
        "inner": Field(OBJECT, INNER.parse),
        "list": Field(ARRAY, read_plain),
    },
    ("name",),
)


def read(text: str, parser: ObjectParser = PARSER):
    document = read_body(text.encode())
    assert document.root is not None
    try:
        return parser.parse(document, document.root)
    except Located as located:
        return located.error
    except ProxyError as error:
        return error


class TestRequestBodies:
    def test_reads_what_is_declared(self):
        body = (
            '{"name": "x", "count": "7", "weight": "0.5", "flag": "true",'
            ' "inner": {"id": "i"}, "list": [1, {"a": null}]}'
        )
        assert read(body) == {
            "name": "x",
            "count": 7,
            "weight": 0.5,
            "flag": True,
            "inner": {"id": "i"},
            "list": [1, {"a": None}],
        }

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            ("[]", "[1:1] [Outer] Expected START_OBJECT but was: START_ARRAY"),
            ('"x"', "[1:1] [Outer] Expected START_OBJECT but was: VALUE_STRING"),
            ('{\n "name": 5}', "[2:10] [Outer] name doesn't support values of type: VALUE_NUMBER"),
            ('{"name":null}', "[1:9] [Outer] name doesn't support values of type: VALUE_NULL"),
            ('{"name":"x","zzzzzz":1}', "[1:13] [Outer] unknown field [zzzzzz]"),
            (
                '{"name":"x","cuont":1}',
                "[1:13] [Outer] unknown field [cuont] did you mean [count]?",
            ),
            ('{"inner":{"id":1},"bad":1}', "[1:16] [Outer] failed to parse field [inner]"),
            ('{"inner":{ }}', "[1:12] [Outer] failed to parse field [inner]"),
            ('{"flag":"yes"}', "[1:9] [Outer] failed to parse field [flag]"),
            ("{}", "Required [name]"),
            ('{"count":1}', "Required [name]"),
        ],
    )
    def test_the_first_problem_wins_and_says_where(self, body, reason):
        assert read(body).reason == reason

    def test_what_comes_before_a_syntax_error_is_judged_first(self):
        assert "unknown field [foo]" in read('{"foo":1, x').reason
        assert "Unexpected character ('x'" in read('{"name":"a", x').reason
        assert "Unexpected end of file" in read('{"name":"a"').reason

    @pytest.mark.parametrize(
        ("text", "reason", "cause"),
        [
            ('{"name":"a', "[1:9] [Outer] failed to parse field [name]", XContentEnd),
            ('{"inner":{"id":"x"', "[1:16] [Outer] failed to parse field [inner]", XContentEnd),
            ('{"list":[1,tru]', "[1:12] [Outer] failed to parse field [list]", XContentParseFailed),
        ],
    )
    def test_a_syntax_error_inside_a_field_is_the_fields(self, text, reason, cause):
        error = read(text)
        assert (error.reason, type(error.cause)) == (reason, cause)

    def test_a_lenient_parser_skips_what_it_does_not_know(self):
        lenient = ObjectParser("L", {"a": Field(STRING, read_string)}, ("a",), lenient=True)
        assert read('{"b":{"c":[1]},"a":"x"}', lenient) == {"a": "x"}

    @pytest.mark.parametrize(
        ("text", "number"),
        [("3", 3), ("1.9", 1), ("-1.9", -1), ('"3"', 3), ('"1.5"', 1), ("-0", 0), ("1e2", 100)],
    )
    def test_integers_are_coerced(self, text, number):
        assert read(f'{{"name":"x","count":{text}}}')["count"] == number

    @pytest.mark.parametrize("text", ['"x"', '""', '"1x"', '"Infinity"', '"1' + "0" * 5000 + '"'])
    def test_texts_that_are_no_numbers_are_refused(self, text):
        error = read(f'{{"name":"x","count":{text}}}')
        assert error.reason == "[1:21] [Outer] failed to parse field [count]"
        assert error.cause.type in ("number_format_exception", "illegal_argument_exception")

    @pytest.mark.parametrize("text", ["1_0", "٣", "1_0.5"])
    def test_only_javas_numbers_are_numbers(self, text):
        error = read(f'{{"name":"x","count":"{text}"}}')
        assert error.cause.type == "number_format_exception"

    @pytest.mark.parametrize("text", ["2147483648", "1e10", "-99999999999", "1e999"])
    def test_integers_have_32_bits(self, text):
        error = read(f'{{"name":"x","count":{text}}}')
        assert "out of range of int (-2147483648 - 2147483647)\n at [Sou" in error.cause.reason
        assert error.cause.cause.type == "input_coercion_exception"
        assert error.root_cause() is error.cause

    @pytest.mark.parametrize("text", ['"NaN"', '"Infinity"', "1e999"])
    def test_floats_are_finite(self, text):
        error = read(f'{{"name":"x","weight":{text}}}')
        assert "supports only finite values" in error.cause.reason

    @given(json_values)
    def test_any_body_is_read_or_refused(self, value):
        document = read_body(json.dumps(value).encode())
        root = document.root
        assert root is not None
        refusal = refusal_of(lambda: PARSER.parse(document, root))
        assert refusal is None or refusal.status == 400


class TestBooleans:
    def test_only_true_and_false_are_booleans(self):
        assert (parse_boolean("true"), parse_boolean("false")) == (True, False)
        for text in ("True", "yes", "1", "", " true"):
            with pytest.raises(IllegalArgument) as caught:
                parse_boolean(text)
            assert caught.value.reason == (
                f"Failed to parse value [{text}] as only [true] or [false] are allowed."
            )


class TestSuggestions:
    KNOWN = ("input", "input_type", "query", "timeout", "top_n")

    @pytest.mark.parametrize(
        ("name", "hint"),
        [
            ("imput", " did you mean any of [input, timeout]?"),
            ("Input", " did you mean [input]?"),
            ("inputs", " did you mean [input]?"),
            ("input_typ", " did you mean any of [input_type, input]?"),
            ("quer", " did you mean [query]?"),
            ("timeot", " did you mean [timeout]?"),
            ("xyz", ""),
            ("", ""),
        ],
    )
    def test_names_what_is_similar_best_first(self, name, hint):
        assert did_you_mean(name, self.KNOWN) == hint

    def test_half_is_not_enough(self):
        assert did_you_mean("ab", ["ax"]) == ""
        assert did_you_mean("abc", ["abx"]) == " did you mean [abx]?"

    def test_equally_near_names_are_sorted(self):
        assert did_you_mean("bat", ["hat", "cat"]) == " did you mean any of [cat, hat]?"

    def test_a_very_long_name_costs_nothing(self):
        with at_most(1):
            assert did_you_mean("a" * 1_000_000, self.KNOWN) == ""


class TestTimes:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("30s", 30.0),
            ("1m", 60.0),
            ("2h", 7200.0),
            ("1d", 86400.0),
            ("50ms", 0.05),
            ("100micros", 1e-4),
            ("5nanos", 5e-9),
            (" 30S ", 30.0),
            ("30 s", 30.0),
            ("0s", 0.0),
            ("0", 0.0),
            ("00", 0.0),
            ("-1", -1.0),
            ("-01", -1.0),
            ("-1s", -1.0),
            (" 7H", 25200.0),
        ],
    )
    def test_reads_every_unit(self, text, seconds):
        assert parse_time(text, "timeout") == pytest.approx(seconds)

    @pytest.mark.parametrize("text", ["30", "abc", "", "1", "10w", "s 30", "1y", "1M", "1m "])
    def test_a_unit_must_be_there(self, text):
        with pytest.raises(IllegalArgument) as caught:
            parse_time(text, "timeout")
        assert caught.value.reason == (
            f"failed to parse setting [timeout] with value [{text}] as a time value: "
            "unit is missing or unrecognized"
        )

    @pytest.mark.parametrize("text", ["1.5s", "0.5m", "1e3s", "9" * 20 + "s"])
    def test_fractions_are_not_supported(self, text):
        with pytest.raises(IllegalArgument) as caught:
            parse_time(text, "timeout")
        assert caught.value.cause is not None
        assert caught.value.cause.render() == {
            "type": "number_format_exception",
            "reason": f'For input string: "{text[:-1]}"',
        }
        assert caught.value.reason == (
            f"failed to parse [{text}], fractional time values are not supported"
        )

    @pytest.mark.parametrize("text", ["-2s", "-100ms"])
    def test_negative_durations_are_not_supported(self, text):
        with pytest.raises(IllegalArgument, match="negative durations are not supported"):
            parse_time(text, "timeout")

    @pytest.mark.parametrize("text", ["s", "xs", "1 2s", "--1s"])
    def test_the_number_must_be_one(self, text):
        with pytest.raises(IllegalArgument) as caught:
            parse_time(text, "timeout")
        assert caught.value.reason == f"failed to parse [{text}]"

    def test_a_huge_number_is_refused(self):
        with pytest.raises(IllegalArgument):
            parse_time("9" * 400 + "s", "timeout")

    def test_underscores_are_no_digits(self):
        with pytest.raises(IllegalArgument):
            parse_time("1_0s", "timeout")

    def test_no_time_is_zero_seconds(self):
        assert time_text(0.0) == "0s"

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [
            (90.0, "1.5m"),
            (30.0, "30s"),
            (0.05, "50ms"),
            (1.5, "1.5s"),
            (1.999, "1.9s"),
            (119.0, "1.9m"),
            (3600.0, "1h"),
            (86400.0, "1d"),
            (5e-9, "5nanos"),
            (1e-4, "100micros"),
        ],
    )
    def test_prints_the_largest_unit_that_fits(self, seconds, text):
        assert time_text(seconds) == text

    @given(st.sampled_from([("ms", 999), ("s", 59), ("m", 59), ("h", 23), ("d", 1000)]), st.data())
    def test_a_whole_number_of_a_unit_is_printed_as_it_was_read(self, unit, data):
        name, most = unit
        text = f"{data.draw(st.integers(1, most))}{name}"
        assert time_text(parse_time(text, "timeout")) == text

    @given(st.text(max_size=8))
    def test_any_text_is_a_time_or_refused(self, text):
        refusal = refusal_of(lambda: parse_time(text, "timeout"))
        assert refusal is None or text in refusal.reason
