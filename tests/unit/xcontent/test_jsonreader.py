"""JSON as Jackson reads it: any body is a value or an error, in time that grows with its length."""

from __future__ import annotations

import gc
import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config import MAX_NESTING
from proxy.ground.errors import XContentEnd, XContentParseFailed
from proxy.xcontent.document import Node
from proxy.xcontent.writing import dump_json
from tests.support.bodies import error_of, read_body
from tests.support.samples import at_most, json_values

MEASURED = """
import tracemalloc
from tests.support.bodies import read_body
tracemalloc.start()
read_body(data)
print(tracemalloc.get_traced_memory()[1], len(data))
"""


@given(json_values, st.booleans(), st.sampled_from([None, 1]))
def test_reads_what_the_standard_library_reads(value, ascii_only, indent):
    data = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    assert read_body(data).plain() == json.loads(data)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_value_or_an_error_of_ours(data):
    document = read_body(data)
    if document.error is None:
        document.plain()
    else:
        assert document.error.status == 400
        dump_json(document.error.envelope())


@given(json_values, st.data())
def test_a_valid_document_cut_off_anywhere_is_an_error_or_a_whole_value(value, data):
    whole = json.dumps(value).encode()
    cut = data.draw(st.integers(0, len(whole)))
    with at_most(2):
        document = read_body(whole[:cut])
    if document.error is None and document.root is not None:
        json.loads(whole[:cut])  # only what is complete passes
    elif document.error is not None:
        assert isinstance(document.error, XContentParseFailed)


@given(json_values, st.data())
def test_a_valid_document_with_a_flipped_byte_never_breaks_the_reader(value, data):
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
def test_comments_blanks_and_what_follows_the_first_value_do_not_matter(text):
    assert read_body(text.encode()).plain() == {"a": 1}


@pytest.mark.parametrize(
    ("before", "unit", "after"),
    [
        (b'{"input":"', rb"\n", b'"}'),
        (b'{"input":"', rb"\n", b""),
        (b'{"input":"', rb"\n", rb'\x"}'),
        (b'{"input":"', b"x", b'\n"}'),
        (b"", b"//\n", b"{}"),
        (b"", b"/**/ ", b"{}"),
        (b"", b"/* ", b""),
        (b"[x", "é".encode(), b"]"),
        (b"[-", b"1", b"]"),
    ],
)
def test_no_text_takes_much_memory_or_time_beside_its_own(before, unit, after):
    # In a process of its own, where no other thread takes memory meanwhile.
    size = 10_000_000 // len(unit)
    program = f"data = {before!r} + {unit!r} * {size} + {after!r}\n{MEASURED}"
    with at_most(15):
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
    peak, length = map(int, done.stdout.split())
    assert peak < 2.5 * length + 16_000_000


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_reads_every_encoding_of_unicode(codec):
    for text in ("ü€😀", "x😀" * 300_000):
        assert read_body(f'{{"a": "{text}"}}'.encode(codec)).plain() == {"a": text}


@pytest.mark.parametrize("data", [b"", b"  \n ", b"// nothing\n"])
def test_blank_bodies_have_no_root(data):
    document = read_body(data)
    assert (document.root, document.error, document.plain()) == (None, None, None)


def test_refuses_duplicate_keys_at_each_level_for_itself():
    assert read_body(b'{"a":{"a":1},"b":{"a":1}}').error is None
    assert "Duplicate field 'a'" in error_of(b'{"x":[{"a":1,"a":2}]}').reason
    assert "Duplicate field 'a'" in error_of(rb'{"a":1,"\u0061":2}').reason


def test_is_as_deep_as_can_be_written_and_no_deeper():
    deep = b"[" * MAX_NESTING + b"]" * MAX_NESTING
    assert dump_json(read_body(deep).plain()) == deep
    reason = error_of(b"[" * (MAX_NESTING + 1)).reason
    assert "Document nesting depth (201) exceeds the maximum allowed (200" in reason
    assert read_body(b'{"a":' * 100_000).error is not None


def test_numbers_keep_their_text_and_have_a_greatest_length():
    document = read_body(b"[1.50, -0, 1e2, 10]")
    assert document.root is not None
    nodes = document.root.value
    assert [document.text(node) for node in nodes] == ["1.50", "-0", "1e2", "10"]
    assert [type(node.value) for node in nodes] == [float, int, float, int]
    assert read_body(b"9" * 1000).error is None
    assert "Number value length (1001)" in error_of(b"9" * 1001).reason


@pytest.mark.parametrize("text", ["a" * 40, r"\n" + "a" * 40, "a" * 1_000_000])
def test_a_string_without_end_is_refused_at_once(text):
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
def test_long_documents_take_time_in_proportion(unit, count):
    with at_most(10):
        read_body(b"[" + unit * count + b"1]")


def test_a_document_with_an_error_is_forgotten_at_once():
    gc.collect()
    before = len(_nodes())
    gc.disable()  # what is in a circle stays
    try:
        assert read_body(b'{"a":[[],!]}').error is not None
        assert len(_nodes()) == before
    finally:
        gc.enable()


def _nodes() -> list[Node]:
    return [found for found in gc.get_objects() if isinstance(found, Node)]
