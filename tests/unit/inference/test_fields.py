"""Settings taken one by one, and all that is wrong with them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.ground.errors import IllegalArgument, StatusError, ValidationFailed
from proxy.inference.fields import Fields, Problems, refuse_unknown
from proxy.xcontent.javatext import java_text
from tests.support.samples import json_values, refusal_of


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


def test_settings_that_were_taken_are_not_left_over():
    fields, problems = fields_of(a="x", b=1, c=True, d=None)
    assert fields.take_str("a") == "x"
    assert fields.take_positive_int("b") == 1
    assert fields.take_bool("c") is True
    assert fields.take_str("d") is None
    assert fields.left_over == {}
    assert found(problems) == []


def test_missing_settings_are_none_unless_they_are_required():
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
def test_a_text_must_be_a_text(value):
    fields, problems = fields_of(a=value)
    assert fields.take_str("a") is None
    assert found(problems) == [
        f"field [a] is not of the expected type. The value [{java_text(value)}] "
        "cannot be converted to a [String]"
    ]


def test_a_required_text_of_the_wrong_type_is_not_missing_too():
    fields, problems = fields_of(a=5)
    assert fields.take_required_str("a") == ""
    assert len(found(problems)) == 1


def test_a_text_must_not_be_empty():
    fields, problems = fields_of(a="")
    assert fields.take_required_str("a") == ""
    assert found(problems) == ["[scope] Invalid value empty string. [a] must be a non-empty string"]


@pytest.mark.parametrize("value", ["x", 1.0, True, [1], 2**31, -(2**31) - 1])
def test_an_integer_has_32_bits(value):
    fields, problems = fields_of(a=value)
    assert fields.take_positive_int("a") is None
    assert found(problems)[0].endswith("cannot be converted to a [Integer]")


@pytest.mark.parametrize("value", [0, -1, -(2**31)])
def test_an_integer_must_be_positive(value):
    fields, problems = fields_of(a=value)
    assert fields.take_positive_int("a") is None
    assert found(problems) == [f"[scope] Invalid value [{value}]. [a] must be a positive integer"]


@pytest.mark.parametrize("value", [1, 2**31, 2**63 - 1])
def test_a_long_has_64_bits(value):
    fields, problems = fields_of(a=value)
    assert fields.take_positive_long("a") == value
    assert found(problems) == []


@pytest.mark.parametrize("value", ["x", 1.0, True, 2**63, {}])
def test_a_long_must_be_an_integer(value):
    fields, problems = fields_of(a=value)
    assert fields.take_positive_long("a") is None
    assert found(problems) == [
        "field [a] is not of one of the expected types. The value "
        f"[{java_text(value)}] cannot be converted to one of [Integer, Long]"
    ]


@pytest.mark.parametrize("value", [0, -5])
def test_a_long_must_be_positive(value):
    fields, problems = fields_of(a=value)
    assert fields.take_positive_long("a") is None
    assert found(problems) == [f"[scope] Invalid value [{value}]. [a] must be a positive long"]


@pytest.mark.parametrize("value", [" COSINE ", "cosine", "Cosine"])
def test_names_are_trimmed_and_of_any_letter_case(value):
    fields, _ = fields_of(a=value)
    assert fields.take_enum("a", ("l2_norm", "cosine")) == "cosine"


def test_an_unknown_name_is_answered_with_the_known_ones_sorted():
    fields, problems = fields_of(a=" X ")
    assert fields.take_enum("a", ("l2_norm", "cosine")) is None
    assert found(problems) == [
        "[scope] Invalid value [ X ] received. [a] must be one of [cosine, l2_norm]"
    ]


@pytest.mark.parametrize("value", ["x", 1, [], True])
def test_what_is_not_a_map_is_refused_at_once(value):
    fields, _ = fields_of(a=value)
    with pytest.raises(IllegalArgument, match=r"cannot be converted to a \[Map\]"):
        fields.take_map("a")


def test_a_nested_map_shares_the_problems_under_its_own_name():
    fields, problems = fields_of(inner={"n": 0})
    inner = fields.take_map("inner")
    assert inner is not None
    inner.take_positive_int("n")
    assert found(problems) == ["[inner] Invalid value [0]. [n] must be a positive integer"]


def test_left_overs_are_named_with_the_service():
    with pytest.raises(StatusError) as caught:
        refuse_unknown({"foo": 1, "bar": [None]}, "hugging_face")
    assert caught.value.reason == (
        "Configuration contains settings [{bar=[null], foo=1}] unknown to the "
        "[hugging_face] service"
    )
    refuse_unknown({}, "hugging_face")


@given(st.dictionaries(st.sampled_from("abcdefg"), json_values))
def test_any_values_are_read_or_recorded(values):
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
