"""Names of indices in the ids of points in time."""

from __future__ import annotations

from base64 import urlsafe_b64encode

from proxy.semantic.pits import indices_of

# Of a point in time of `q-a,q-b` on Elasticsearch 9.2.4.
REAL = (
    "982wBAIDcS1hFk5oNmtDRnAwVGJLRldCQ3RDWFk0cXcAARZ5dU0xVHVXd1FMT2h2bHpDVWRZT1d3AAEAAAAAAAABeBZa"
    "NE5ZNEpSQVM5dTBrYzY1ajZ1UnFRAANxLWIWN2dmOEhWLW9SaENzNXFaM1BTTUw4dwABFnl1TTFUdVd3UUxPaHZsekNV"
    "ZFlPV3cAAQAAAAAAAAF5Flo0Tlk0SlJBUzl1MGtjNjVqNnVScVEAAhZOaDZrQ0ZwMFRiS0ZXQkN0Q1hZNHF3AAAWN2dm"
    "OEhWLW9SaENzNXFaM1BTTUw4dwAA"
)
UUID = b"\x16" + b"a" * 22


def test_a_real_id():
    assert {"q-a", "q-b"} <= set(indices_of(REAL))


def test_long_names_and_letters_of_all_kinds():
    long = "l" * 200
    data = b"\x01" + b"\xc8\x01" + long.encode() + UUID + b"\x00\x04" + "über".encode() + UUID
    found = indices_of(urlsafe_b64encode(data).decode().rstrip("="))
    assert long in found
    assert "über" in found


def test_what_is_no_id_names_nothing():
    assert indices_of("") == []
    assert indices_of("%%%") == []
    assert indices_of("abcd") == []
