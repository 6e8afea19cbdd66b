"""Time values, read and printed as Elasticsearch does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.ground.errors import IllegalArgument
from proxy.xcontent.times import parse_time, time_text
from tests.support.samples import refusal_of


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
def test_reads_every_unit(text, seconds):
    assert parse_time(text, "timeout") == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["30", "abc", "", "1", "10w", "s 30", "1y", "1M", "1m "])
def test_a_unit_must_be_there(text):
    with pytest.raises(IllegalArgument) as caught:
        parse_time(text, "timeout")
    assert caught.value.reason == (
        f"failed to parse setting [timeout] with value [{text}] as a time value: "
        "unit is missing or unrecognized"
    )


@pytest.mark.parametrize("text", ["1.5s", "0.5m", "1e3s", "9" * 20 + "s"])
def test_fractions_are_not_supported(text):
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
def test_negative_durations_are_not_supported(text):
    with pytest.raises(IllegalArgument, match="negative durations are not supported"):
        parse_time(text, "timeout")


@pytest.mark.parametrize("text", ["s", "xs", "1 2s", "--1s"])
def test_a_number_must_stand_before_the_unit(text):
    with pytest.raises(IllegalArgument) as caught:
        parse_time(text, "timeout")
    assert caught.value.reason == f"failed to parse [{text}]"


def test_a_huge_number_is_refused():
    with pytest.raises(IllegalArgument):
        parse_time("9" * 400 + "s", "timeout")


def test_underscores_are_no_digits():
    with pytest.raises(IllegalArgument):
        parse_time("1_0s", "timeout")


def test_zero_is_printed_in_seconds():
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
def test_prints_the_largest_unit_that_fits(seconds, text):
    assert time_text(seconds) == text


@given(st.sampled_from([("ms", 999), ("s", 59), ("m", 59), ("h", 23), ("d", 1000)]), st.data())
def test_a_whole_number_of_a_unit_is_printed_as_it_was_read(unit, data):
    name, most = unit
    text = f"{data.draw(st.integers(1, most))}{name}"
    assert time_text(parse_time(text, "timeout")) == text


@given(st.text(max_size=8))
def test_any_text_is_a_time_or_refused(text):
    refusal = refusal_of(lambda: parse_time(text, "timeout"))
    assert refusal is None or text in refusal.reason
