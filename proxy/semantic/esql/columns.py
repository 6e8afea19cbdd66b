"""Answers to ES|QL queries, without the columns of what the layer has added, as their bytes pass.

Elasticsearch shows every mapped field as a column unless a query says which it wants.
Source: EsqlQueryResponse.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from proxy.semantic import layout
from proxy.semantic.cutting import cut_out
from proxy.semantic.encodedanswers import Changing
from proxy.semantic.hiding import hide_in_error
from proxy.xcontent.loading import load_json
from proxy.xcontent.writing import dump_json

_COLUMNS: Final = re.compile(rb'"(?:all_)?columns"\s*:\s*(?=\[)')  # those without values as well
_VALUES: Final = re.compile(rb'"values"\s*:\s*\[')
_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{},"]', re.DOTALL)
_LIST: Final = re.compile(rb"\s*\[")
_SOURCE: Final = "_source"  # the type of a column that has documents


Reword = Callable[[str], str]


def without_columns(columnar: bool | None, reword: Reword | None = None) -> Changing:
    """A change of answers; `columnar` says how values are grouped, None that nobody knows.

    `reword` is how errors and the names of columns tell of the query that came.
    """
    if reword is None:
        return Changing(lambda: ColumnCutter(columnar, str))
    return Changing(lambda: ColumnCutter(columnar, reword), lambda answer: True)


class ColumnCutter:
    """Takes an answer piece by piece, and gives it back without columns of ours."""

    def __init__(self, columnar: bool | None, reword: Reword) -> None:
        self._columnar = columnar
        self._reword = reword
        self._held = b""  # what has come and is not decided upon yet
        self._in_values = False
        self._is_done = False  # whether all that is left may pass
        self._ours: frozenset[int] = frozenset()  # the places of columns
        self._sources: frozenset[int] = frozenset()
        self._depth = 1  # brackets that are open within the values, their own among them
        self._place = 0  # of what is read now in its list
        self._has_some = False  # whether that list shows anything so far
        self._has_begun = False  # whether what stands in this place is shown already
        self._number = 0  # of columns
        self._source: list[bytes] = []  # what is read now, if it has documents

    def feed(self, data: bytes) -> bytes:
        """What can be shown by now."""
        data, self._held = self._held + data, b""
        if self._is_done:
            return data
        if self._in_values:
            return self._values(data)
        begin = _VALUES.search(data)
        if begin is None:
            self._held = data
            return b""
        head = self._without_ours(data[: begin.end()])
        if not self._ours and not self._sources:
            self._is_done = True
            return head + data[begin.end() :]
        self._in_values = True
        return head + self._values(data[begin.end() :])

    def finish(self) -> bytes:
        """The rest, once all has come."""
        rest, self._held = self._held, b""
        if self._in_values or b'"error"' not in rest:
            return rest
        try:
            return dump_json(_reworded(hide_in_error(load_json(rest)), self._reword))
        except ValueError:
            return rest

    def _without_ours(self, head: bytes) -> bytes:
        """What comes before the values, in which columns of ours are not named."""
        made: list[bytes] = []
        at = 0
        for begin in _COLUMNS.finditer(head):
            end = _end_of_array(head, begin.end())
            columns = load_json(head[begin.end() : end])
            if begin[0].startswith(b'"columns"'):
                self._number = len(columns)
                self._ours = frozenset(n for n, one in enumerate(columns) if _is_ours(one))
                self._sources = frozenset(
                    n for n, one in enumerate(columns) if one.get("type") == _SOURCE
                )
            kept = [
                {**one, "name": self._reword(one["name"])} for one in columns if not _is_ours(one)
            ]
            made += (head[at : begin.end()], head[begin.end() : end])
            if kept != columns:
                made[-1] = dump_json(kept)
            at = end
        return b"".join([*made, head[at:]])

    # --- values

    def _values(self, data: bytes) -> bytes:
        """What can be shown of the values, and of what follows them."""
        if self._columnar is None:
            self._columnar = self._are_columns(data)
        if self._columnar is None:
            self._held = data
            return b""
        level = 1 if self._columnar else 2  # of the lists with one place for each column
        out: list[bytes] = []
        at = 0
        for token in _TOKEN.finditer(data):
            if token[0] == b'"':  # the beginning of a string
                break
            self._add(data[at : token.start()], level, out)
            self._on_token(token[0], level, out)
            at = token.end()
            if not self._depth:
                self._is_done = True
                return b"".join([*out, data[at:]])
        self._held = data[at:]
        return b"".join(out)

    def _on_token(self, token: bytes, level: int, out: list[bytes]) -> None:
        if token in (b"[", b"{"):
            self._depth += 1
            if self._depth != level:
                self._add(token, level, out)
                return
            out.append(token)
            self._place, self._has_some, self._has_begun = 0, False, False
        elif token in (b"]", b"}"):
            if self._depth == level:
                self._end(out)
                out.append(token)
            else:
                self._add(token, level, out)
            self._depth -= 1
        elif token == b"," and self._depth == level:
            self._end(out)
            self._place, self._has_begun = self._place + 1, False
        else:
            self._add(token, level, out)

    def _add(self, data: bytes, level: int, out: list[bytes]) -> None:
        """Show a part of what is read now, unless that is ours."""
        if self._depth < level:
            out.append(data)
            return
        if self._place in self._ours:
            return
        if self._has_some and not self._has_begun:
            out.append(b",")
        self._has_begun = True
        (self._source if self._place in self._sources else out).append(data)

    def _end(self, out: list[bytes]) -> None:
        """The end of what stands in one place of a list."""
        if self._source:
            made = cut_out(b'{"_source":%b}' % b"".join(self._source))
            out.append(made.removeprefix(b'{"_source":')[:-1])
            self._source = []
        self._has_some = self._has_some or self._place not in self._ours

    def _are_columns(self, data: bytes) -> bool | None:
        """Whether the first list is a column, and not a row; None if more has to come first.

        Columns of ours have no values: their fields are in no document.
        """
        begin = _LIST.match(data)
        if begin is None:
            return None if not data.strip() else False  # there are none
        end = _end_of_array(data, begin.end() - 1)
        if end < 0:
            return None
        first = load_json(data[begin.end() - 1 : end])
        if len(first) != self._number:
            return True
        is_row = all(first[n] is None for n in self._ours)
        return not (is_row and all(isinstance(first[n], dict | None) for n in self._sources))


def _reworded(value: Any, reword: Reword) -> Any:
    """An error's document with each of its texts reworded."""
    match value:
        case str():
            return reword(value)
        case [*items]:
            return [_reworded(one, reword) for one in items]
        case {**members}:
            return {key: _reworded(one, reword) for key, one in members.items()}
    return value


def _is_ours(column: Mapping[str, Any]) -> bool:
    return layout.is_ours(str(column.get("name")))


def _end_of_array(data: bytes, at: int) -> int:
    """The offset behind an array that begins at `at`; -1 where it does not end."""
    depth = 0
    for token in _TOKEN.finditer(data, at):
        if token[0] in (b"[", b"{"):
            depth += 1
        elif token[0] in (b"]", b"}"):
            depth -= 1
            if not depth:
                return token.end()
        elif token[0] == b'"':
            break
    return -1
