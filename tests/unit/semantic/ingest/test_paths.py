"""Fields of documents by path; texts of errors are those of IngestDocument."""

from __future__ import annotations

import pytest

from proxy.ground.errors import IllegalArgument
from proxy.semantic.ingest.paths import has_value, value_at, with_value


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a", {"b": ["x", {"c": None}]}),
        ("a.b.0", "x"),
        ("a.b.1.c", None),
        ("_source.a.b.0", "x"),
    ],
)
def test_a_value_is_found_through_objects_and_arrays(path, expected):
    assert value_at({"a": {"b": ["x", {"c": None}]}}, path) == expected


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("x", "field [x] not present as part of path [x]"),
        ("a.x", "field [x] not present as part of path [a.x]"),
        ("l.x", "[x] is not an integer, cannot be used as an index as part of path [l.x]"),
        ("l.1", "[1] is out of bounds for array with length [1] as part of path [l.1]"),
        ("n.x", "cannot resolve [x] from null as part of path [n.x]"),
        (
            "s.x",
            "cannot resolve [x] from object of type [java.lang.String] as part of path [s.x]",
        ),
    ],
)
def test_a_path_that_leads_nowhere_is_told(path, reason):
    document: dict[str, object] = {"a": {}, "l": [1], "n": None, "s": "t"}
    with pytest.raises(IllegalArgument) as raised:
        value_at(document, path)
    assert raised.value.reason == reason
    assert not has_value(document, path)


def test_dotted_names_are_not_paths():
    assert not has_value({"a.b": 1}, "a.b")


@pytest.mark.parametrize(
    ("document", "path", "expected"),
    [
        (b"{}", "v", b'{"v":[1]}'),
        (b'{ "a" : 1.0 }\n', "v", b'{ "a" : 1.0,"v":[1] }\n'),
        (b'{"e":1e400}', "v.w", b'{"e":1e400,"v":{"w":[1]}}'),
        (b'{"v":{"x":1.00}}', "v.w.z", b'{"v":{"x":1.00,"w":{"z":[1]}}}'),
        (b'{"v":{ }}', "v.w", b'{"v":{"w":[1]}}'),
        (b'{"l":[{"x":1}]}', "l.0.w", b'{"l":[{"x":1,"w":[1]}]}'),
    ],
)
def test_a_value_is_put_in_and_all_else_stays(document, path, expected):
    written = with_value(document, path, [1])
    assert written.replace(b" ", b"") == expected.replace(b" ", b"")


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (b'{"v":"old"}', b'{"v":["old","new"]}'),
        (b'{"v":null}', b'{"v":[null,"new"]}'),
        (b'{"v":[ ]}', b'{"v":[ "new"]}'),
        (b'{"v":[1.0, 2]}', b'{"v":[1.0, 2,"new"]}'),
        (b'{"v":{"a":1}}', b'{"v":[{"a":1},"new"]}'),
    ],
)
def test_a_value_is_appended_to_what_is_there(document, expected):
    assert with_value(document, "v", "new") == expected


def test_nothing_is_put_below_a_scalar():
    with pytest.raises(IllegalArgument) as raised:
        with_value(b'{"a":"s"}', "a.b", 1)
    assert raised.value.reason == (
        "cannot set [b] with parent object of type [java.lang.String] as part of path [a.b]"
    )
    with pytest.raises(IllegalArgument) as raised:
        with_value(b'{"a":null}', "a.b", 1)
    assert raised.value.reason == "cannot set [b] with null parent as part of path [a.b]"


def test_a_document_that_only_elasticsearch_reads_is_written():
    half = b'{"a":"\\ud83d"}'
    assert with_value(half, "b", 1) == b'{"a":"\\ud83d","b":1}'
