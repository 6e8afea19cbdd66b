"""YAML bodies: whatever JSON could also say is read, and all else is refused."""

from __future__ import annotations

import pytest
from hypothesis import given

from proxy.xcontent.yamlreader import MAX_BYTES, MAX_TOKENS
from proxy.xcontent.yamlwriter import dump_yaml
from tests.support.bodies import error_of, read_body
from tests.support.samples import at_most, json_objects


def test_reads_maps_lists_and_scalars():
    body = b"a: 1\nb: [x, 'y', 1.5, true, null]\nc: {d: ''}\ne: 2024-01-31\n"
    assert read_body(body, "yaml").plain() == {
        "a": 1,
        "b": ["x", "y", 1.5, True, None],
        "c": {"d": ""},
        "e": "2024-01-31",
    }


@given(json_objects)
def test_reads_what_it_writes(value):
    document = read_body(dump_yaml(value), "yaml")
    assert document.error is None
    assert list(document.plain()) == list(value)


@pytest.mark.parametrize("body", [b"a: [", b"a: b: c", b"\x00", b"%YAML 9\n---\n", b"a: &x [*x]"])
def test_refuses_what_is_not_yaml(body):
    error = error_of(body, "yaml")
    assert (error.status, error.type) == (400, "x_content_parse_exception")


def test_refuses_duplicate_keys():
    assert read_body(b"a: 1\na: 2\n", "yaml").error is not None


def test_finds_texts_behind_letters_of_several_bytes():
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
def test_odd_yaml_is_an_error_of_ours(body):
    assert error_of(body, "yaml").status == 400


@pytest.mark.parametrize("text", ["!!bool x", "!!int ''", "!!float ''", "!!timestamp x", "0x1f"])
def test_scalars_that_json_could_not_say_are_texts(text):
    plain = read_body(f"a: {text}".encode(), "yaml").plain()
    assert plain == {"a": text.rpartition(" ")[2].strip("'")}


def test_an_impossible_date_is_a_text():
    assert read_body(b"a: 2001-99-99", "yaml").plain() == {"a": "2001-99-99"}


def test_lone_surrogates_are_refused():
    assert error_of(rb'a: "\uD800"', "yaml").status == 400


@pytest.mark.parametrize(
    ("body", "limit"),
    [
        (b"- " + b"x" * MAX_BYTES, "bytes in YAML, which is [262144]"),
        (b"[" + b"1," * MAX_TOKENS + b"]", "tokens in YAML, which is [5000]"),
        (b"[" * 180 + b"1," * MAX_TOKENS, "tokens in YAML, which is [5000]"),
        (b"a: &a " + b"x" * 1000 + b"\nb: [" + b"*a," * 900 + b"]", "characters, which is [3712]"),
    ],
)
def test_what_would_take_long_is_refused_soon(body, limit):
    with at_most(5):
        assert error_of(body, "yaml").reason.endswith(
            f"the body goes beyond the limit of its {limit}"
        )


def test_aliases_cannot_blow_a_document_up():
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    for n in range(1, 6):
        lines.append(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]")
    with at_most(1):
        read_body("\n".join(lines).encode(), "yaml")
