"""Names of indices in the ids of points in time."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest

from proxy.semantic.pits import expression_of

# Of a point in time of `q-a,q-b` on Elasticsearch 9.2.4.
REAL = (
    "982wBAIDcS1hFk5oNmtDRnAwVGJLRldCQ3RDWFk0cXcAARZ5dU0xVHVXd1FMT2h2bHpDVWRZT1d3AAEAAAAAAAABeBZa"
    "NE5ZNEpSQVM5dTBrYzY1ajZ1UnFRAANxLWIWN2dmOEhWLW9SaENzNXFaM1BTTUw4dwABFnl1TTFUdVd3UUxPaHZsekNV"
    "ZFlPV3cAAQAAAAAAAAF5Flo0Tlk0SlJBUzl1MGtjNjVqNnVScVEAAhZOaDZrQ0ZwMFRiS0ZXQkN0Q1hZNHF3AAAWN2dm"
    "OEhWLW9SaENzNXFaM1BTTUw4dwAA"
)
VERSION = b"\xf7\xcd\xb0\x04"
UUID = b"\x16" + b"a" * 22
CONTEXT = bytes(7) + b"\x01" + UUID + b"\x00"
THERE = b"\x01" + UUID + b"\x00\x01" + CONTEXT  # a shard's node, no other cluster, its context


def written(text: str) -> bytes:
    """As Elasticsearch writes strings: each half of a character apart."""
    halves = text.encode("utf-16-le")
    units = [chr(int.from_bytes(halves[n : n + 2], "little")) for n in range(0, len(halves), 2)]
    count = len(units)
    length = bytes([count]) if count < 128 else bytes([count & 127 | 128, count >> 7])
    return length + "".join(units).encode("utf-8", "surrogatepass")


def pit(*shards: tuple[str, bytes], count: int | None = None) -> str:
    data = b"".join(written(name) + UUID + b"\x00" + rest for name, rest in shards)
    return encoded(VERSION + bytes([len(shards) if count is None else count]) + data + b"\x00")


def encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


def test_a_real_id():
    assert expression_of(REAL) == "q-a,q-b"


def test_numbers_of_contexts_are_no_names():
    """Their last bytes may look like a name with its length before it, such as `-`."""
    data = urlsafe_b64decode(REAL)
    assert data.count(b"\x01x\x16") == 1
    for last in range(256):
        changed = data.replace(b"\x01x\x16", bytes([1, last, 0x16]))
        assert expression_of(encoded(changed)) == "q-a,q-b"


@pytest.mark.parametrize("name", ["l" * 200, "über", "日本", "x😀y", "ü" * 127])
def test_long_names_and_letters_of_all_kinds(name):
    assert expression_of(pit(("first", THERE), (name, THERE))) == f"first,{name}"


def test_shards_of_one_index_name_it_once():
    assert expression_of(pit(("a", THERE), ("a", THERE))) == "a"


def test_ids_from_before_8_16():
    older = UUID + b"\x00" + CONTEXT
    assert expression_of(pit(("a", older), ("b", older))) == "a,b"


def test_shards_that_have_failed():
    failed = b"\x00\x00\x00"
    assert expression_of(pit(("a", THERE), ("b", failed))) == "a,b"


def test_indices_of_other_clusters():
    remote = b"\x01" + UUID + b"\x01" + written("europe") + b"\x01" + CONTEXT
    assert expression_of(pit(("a", THERE), ("b", remote))) == "a"
    assert expression_of(pit(("b", remote))) == ""


@pytest.mark.parametrize(
    "unreadable",
    ["", "%%%", "a", "abcd", pit(("a", THERE), count=2), pit(("", THERE)), encoded(b"\xff" * 9)],
)
def test_what_cannot_be_read_may_be_of_any_index(unreadable):
    assert expression_of(unreadable) == "_all"


def test_no_part_of_an_id_names_less():
    data = urlsafe_b64decode(REAL)
    start = data.index(b"q-b")
    assert {expression_of(encoded(data[:end])) for end in range(start)} == {"_all"}
