"""Answers to ES|QL queries without columns of ours."""

from __future__ import annotations

from typing import Any, Final

import orjson
import pytest

from proxy.semantic.esql.columns import ColumnCutter, without_columns


def column(name: str, kind: str = "keyword") -> dict[str, str]:
    return {"name": name, "type": kind}


BODY: Final = column("body", "text")
OURS: Final = column("xinf.body.def1")
MODEL: Final = column("xinf.body.model")
AFTER: Final = column("xinfo")
SOURCE: Final = column("_source", "_source")
STORED: Final = {"body": 'a "xinf" ], b', "xinf": {"body": {"chunks": [{"start": 0}]}}, "n": 1.50}
KEPT: Final = {"body": 'a "xinf" ], b', "n": 1.50}


def answer(columns: list[Any], values: list[Any], **more: Any) -> dict[str, Any]:
    return {"took": 3, "is_partial": False, "columns": columns, "values": values, **more}


ROWS: Final = [
    ([BODY, OURS, MODEL, AFTER], [['x"]', None, None, [1, 2]], ["y", None, None, "z"]]),
    ([OURS, BODY], [[None, "a,b"]]),
    ([OURS, MODEL], [[None, None], [None, None]]),
    ([OURS], []),
    ([BODY, OURS], [[None, None], [{"a": [1]}, None]]),
    ([SOURCE, OURS, BODY], [[STORED, None, "x"], [None, None, None], [{"xinf": {}}, None, 1]]),
    ([BODY, SOURCE], [["x", STORED]]),
]
SHOWN: Final = [
    ([BODY, AFTER], [['x"]', [1, 2]], ["y", "z"]]),
    ([BODY], [["a,b"]]),
    ([], [[], []]),
    ([], []),
    ([BODY], [[None], [{"a": [1]}]]),
    ([SOURCE, BODY], [[KEPT, "x"], [None, None], [{}, 1]]),
    ([BODY, SOURCE], [["x", KEPT]]),
]
CASES: Final = list(zip(ROWS, SHOWN, strict=True))


def turned(columns: list[Any], rows: list[Any]) -> list[Any]:
    """The values column by column."""
    return [[row[n] for row in rows] for n in range(len(columns))]


def cut(document: Any, columnar: bool | None, *, step: int = 0, pretty: bool = False) -> Any:
    data = orjson.dumps(document, option=orjson.OPT_INDENT_2 if pretty else None)
    cutter = ColumnCutter(columnar, str)
    pieces = [data] if not step else [data[n : n + step] for n in range(0, len(data), step)]
    made = b"".join([*map(cutter.feed, pieces), cutter.finish()])
    return orjson.loads(made)


@pytest.mark.parametrize("step", [0, 1, 7])
@pytest.mark.parametrize("pretty", [False, True])
@pytest.mark.parametrize(("given", "shown"), CASES)
def test_rows_and_columns_show_nothing_of_ours(given: Any, shown: Any, step: int, pretty: bool):
    more: dict[str, Any] = {"_clusters": {"total": 1}}
    found = cut(answer(*given, **more), False, step=step, pretty=pretty)
    assert found == answer(*shown, **more)
    columnar = answer(given[0], turned(*given), **more)
    found = cut(columnar, True, step=step, pretty=pretty)
    assert found == answer(shown[0], turned(*shown), **more)


@pytest.mark.parametrize("step", [0, 1])
@pytest.mark.parametrize(("given", "shown"), CASES)
def test_how_values_are_grouped_is_found_out_where_nobody_knows(given: Any, shown: Any, step: int):
    assert cut(answer(*given), None, step=step) == answer(*shown)
    if len(given[1]) not in (0, len(given[0])):
        columnar = answer(given[0], turned(*given))
        assert cut(columnar, None, step=step) == answer(shown[0], turned(*shown))


def test_as_many_rows_as_columns():
    given, shown = [BODY, OURS], [BODY]
    rows = [["a", None], ["b", None]]
    assert cut(answer(given, rows), None) == answer(shown, [["a"], ["b"]])
    assert cut(answer(given, turned(given, rows)), None) == answer(shown, [["a", "b"]])


def test_columns_without_values_are_named_nowhere():
    given = {"all_columns": [BODY, OURS], **answer([BODY], [["x"]])}
    assert cut(given, False) == {"all_columns": [BODY], **answer([BODY], [["x"]])}


def test_what_has_no_columns_of_ours_passes_as_it_came():
    data = b'{"columns" : [ {"name":"a", "type":"long"} ],"values":[[1.50],["xinf"]] } '
    assert without_columns(False).whole(data, None) is None
    cutter = ColumnCutter(False, str)
    assert b"".join([cutter.feed(data[:50]), cutter.feed(data[50:]), cutter.finish()]) == data


def test_an_error_is_told_in_the_users_words():
    given = {"error": {"reason": "Unknown column [xinf.body.chunks.start]"}, "status": 400}
    told = {"error": {"reason": "Unknown column [body.inference.chunks.start]"}, "status": 400}
    assert cut(given, False) == told


def test_columns_and_errors_are_named_as_in_the_query_that_came():
    change = without_columns(False, lambda text: text.replace("VECTOR", "CALL"))
    made = change.whole(orjson.dumps(answer([column("VECTOR"), BODY], [["VECTOR", "x"]])), None)
    assert made is not None
    assert orjson.loads(made) == answer([column("CALL"), BODY], [["VECTOR", "x"]])
    error = {"error": {"reason": "VECTOR", "root_cause": [{"reason": "[VECTOR]"}]}, "status": 400}
    made = change.whole(orjson.dumps(error), None)
    assert made is not None
    told = {"reason": "CALL", "root_cause": [{"reason": "[CALL]"}]}
    assert orjson.loads(made) == {"error": told, "status": 400}
    assert change.whole(orjson.dumps(answer([BODY], [["VECTOR"]])), None) is None


@pytest.mark.parametrize("data", [b"", b"{", b'{"id":"x","is_running":true}', b"xinf,body\n1,2\n"])
def test_what_is_no_such_answer_passes(data: bytes):
    cutter = ColumnCutter(None, str)
    assert cutter.feed(data) + cutter.finish() == data


def test_an_answer_that_breaks_off_is_passed_on_as_far_as_it_came():
    whole = orjson.dumps(answer([BODY, OURS], [["x", None]]))
    cutter = ColumnCutter(None, str)
    cut_off = cutter.feed(whole[:-8]) + cutter.finish()
    assert cut_off.startswith(b'{"took":3')


@pytest.mark.parametrize("coding", [None, "gzip"])
def test_long_answers_are_changed_as_they_pass(coding: str | None):
    assert without_columns(False).pieces(coding) is not None
