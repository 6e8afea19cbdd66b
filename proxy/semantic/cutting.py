"""Cuts what the layer adds out of answers as their bytes pass, however long they are.

All else stays as it was, numbers and escapes of documents included.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from proxy.semantic import layout
from proxy.semantic.hiding import hidden_in_text
from proxy.xcontent.loading import load_json
from proxy.xcontent.writing import dump_json

_NAME: Final = layout.CONTAINER.encode()
# Strings, keys of objects among them, which may have come in part; where objects begin and end;
# comments, of which perhaps no more than the beginning has come. That each begins with a character
# of its own makes the search several times as fast.
_TOKEN: Final = re.compile(
    rb'"([^"\\]*+(?:\\.[^"\\]*+)*+)(?:(")(\s*+:)?|\\?\Z)|\[|\]|\{|\}'
    rb"|/(/[^\n]*+\n|\*[^*]*+(?:\*(?!/)[^*]*+)*+\*/)?",
    re.DOTALL,
)
_REST_OF_STRING: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+(")?', re.DOTALL)
_BLANKS: Final = b" \t\r\n"
_BLANK: Final = re.compile(rb"[ \t\r\n]*+")
_COMMA: Final = re.compile(rb"\A[ \t\r\n]*+,")
_SCALAR: Final = re.compile(rb"[^,}\] \t\r\n]*+(?=[,}\] \t\r\n])")

_SOURCE: Final = b"_source"
_SOURCES: Final = frozenset((_SOURCE, b"preview"))  # the latter of a transform's documents
# Objects whose keys are fields. What is below these, as below a document's source, is the user's.
_OF_FIELDS: Final = frozenset(
    (b"fields", b"fielddata", b"properties", b"ignored_field_values", b"term_vectors")
)
_OF_USERS: Final = frozenset((b"aggregations", b"highlight", b"suggest"))
_EXPLANATION: Final = b"_explanation"
# What tells how Elasticsearch works, in words that quote the fields it works with.
_WORDS: Final = frozenset(
    (
        _EXPLANATION,
        b"caused_by",
        b"description",
        b"error",
        b"explanation",
        b"explanations",
        b"failures",
        b"last_uri",
        b"profile",
        b"reason",
        b"root_cause",
    )
)

# What is shown in place of what was added to the source of a document of an index, if anything.
Replacement = Callable[[str, bytes], bytes | None]


@dataclass(slots=True)
class _Level:
    """An object or array that has begun."""

    name: bytes  # the key under which it stands, or that of the array around it
    is_object: bool
    is_source: bool = False
    of_fields: bool = False
    of_user: bool = False  # what is said in it is the user's own, word for word
    is_free: bool = False  # its names are the user's own, and no word of _WORDS means anything
    in_words: bool = False
    index: str = ""  # the last `_index` in it


class Cutter:
    """Takes an answer piece by piece, and gives it back without what the layer added."""

    def __init__(self, replacement: Replacement | None, source_of: str | None) -> None:
        """`source_of` is the index of a document whose source the answer is, if it is one."""
        self._replacement = replacement
        self._levels = [_Level(b"", is_object=False, index=source_of or "")]
        self._key = b"" if source_of is None else _SOURCE
        self._after_key = source_of is not None
        self._held = b""  # what has come and is not decided upon yet
        self._in_string = False
        self._cut: list[bytes] | None = None  # what is being cut out
        self._cut_level = 0
        self._first = False  # whether that is the first of its object's members
        self._drops_comma = False

    def feed(self, data: bytes) -> bytes:
        """What can be shown by now."""
        data, self._held = self._held + data, b""
        out: list[bytes] = []
        at: int | None = 0
        place = 0
        while at is not None:
            place = at
            at = self._step(data, place, out)
        self._held = data[place:]
        return b"".join(out)

    def finish(self) -> bytes:
        """The rest, once all has come."""
        rest, self._held = self._held, b""
        return rest

    def _step(self, data: bytes, at: int, out: list[bytes]) -> int | None:
        """Where to go on after one step from `at`; None if more has to come first."""
        if self._in_string:
            return self._string(data, at, out)
        if self._cut == []:
            begin = _BLANK.match(data, at).end()  # type: ignore[union-attr]
            if begin == len(data):
                return None
            if data[begin : begin + 1] not in b'"{[':
                scalar = _SCALAR.match(data, begin)
                if scalar is None:
                    return None
                self._cut.append(scalar[0])
                self._end_cut(out)
                return scalar.end()
        token = _TOKEN.search(data, at)
        if token is None:
            if self._levels[-1].is_object or at == len(data):
                return None
            self._emit(data[at:], out)  # of a long list of numbers, say
            return len(data)
        gap = data[at : token.start()]
        if token[0] == b"/":
            return None
        if token[1] is None:
            self._emit(self._without_comma(gap), out)
            if token[4] is not None:
                self._emit(token[0], out)
            else:
                self._bracket(token[0], out)
            return token.end()
        is_value = not self._levels[-1].is_object or (self._after_key and not gap.strip(_BLANKS))
        if is_value:
            return self._value(token, gap, out)
        if token[3] is None:
            return None
        self._on_key(token, gap, out)
        return token.end()

    # --- tokens

    def _bracket(self, bracket: bytes, out: list[bytes]) -> None:
        self._emit(bracket, out)
        if bracket in b"{[":
            self._levels.append(self._below(is_object=bracket == b"{"))
            self._after_key = False
            return
        if len(self._levels) > 1:
            self._levels.pop()
        self._end_value(out)

    def _below(self, *, is_object: bool) -> _Level:
        """What begins in the present level."""
        around = self._levels[-1]
        name = self._key if around.is_object or len(self._levels) == 1 else around.name
        of_user = around.of_user or around.is_source or (around.of_fields and around.is_object)
        if not around.is_object and len(self._levels) > 1:
            return _Level(
                name,
                is_object,
                is_source=around.is_source,
                of_fields=around.of_fields,
                of_user=around.of_user,
                is_free=around.is_free,
                in_words=around.in_words,
            )
        is_free = around.is_free or name in _OF_USERS
        return _Level(
            name,
            is_object,
            is_source=name in _SOURCES and not of_user,
            of_fields=name in _OF_FIELDS and not of_user,
            of_user=of_user,
            is_free=is_free,
            in_words=not of_user
            and (around.in_words or name == _EXPLANATION or (name in _WORDS and not is_free)),
        )

    def _on_key(self, token: re.Match[bytes], gap: bytes, out: list[bytes]) -> None:
        gap = self._without_comma(gap)
        if self._cut is not None or not self._is_ours(token[1]):
            self._key, self._after_key = token[1], True
            self._emit(gap + token[0], out)
            return
        kept = gap.rstrip(_BLANKS)
        self._first = not kept.endswith(b",")
        self._emit(gap if self._first else kept[:-1], out)
        self._cut, self._cut_level = [], len(self._levels)
        self._after_key = True

    def _is_ours(self, key: bytes) -> bool:
        level = self._levels[-1]
        if level.is_source:
            return key == _NAME
        return level.of_fields and (key == _NAME or key.startswith(_NAME + b"."))

    def _value(self, token: re.Match[bytes], gap: bytes, out: list[bytes]) -> int | None:
        """A string that is no key, whole or the beginning of one."""
        level = self._levels[-1]
        said = self._cut is None and (
            level.in_words or (level.is_object and self._tells(level, self._key))
        )
        if token[2] is None:
            if said or self._key == b"_index":
                return None
            self._emit(self._without_comma(gap), out)
            self._in_string = True
            self._after_key = False
            self._emit(b'"' + token[1], out)
            return token.end(1)
        string = b'"%b"' % token[1]
        if said and (_NAME in string or layout.MISSING.encode() in string):
            string = dump_json(hidden_in_text(load_json(string)))
        elif self._key == b"_index" and level.is_object and not level.of_user:
            level.index = load_json(string)
        self._emit(self._without_comma(gap) + string, out)
        self._end_value(out)
        return token.end(2)

    def _tells(self, level: _Level, key: bytes) -> bool:
        no = level.of_user or level.is_source or level.of_fields or level.is_free
        return key in _WORDS and not no

    def _string(self, data: bytes, at: int, out: list[bytes]) -> int | None:
        """The rest of a string that has begun, as far as it has come."""
        found = _REST_OF_STRING.match(data, at)
        assert found is not None
        self._emit(found[0], out)
        if found[1] is not None:
            self._in_string = False
            self._end_value(out)
            return found.end()
        if found.end() < len(data):  # a backslash: what it escapes is still to come
            self._held = data[found.end() :]
        return None if found.end() == at else found.end()

    # --- what is emitted

    def _emit(self, data: bytes, out: list[bytes]) -> None:
        if data:
            (out if self._cut is None else self._cut).append(data)

    def _without_comma(self, gap: bytes) -> bytes:
        if not self._drops_comma:
            return gap
        self._drops_comma = False
        return _COMMA.sub(b"", gap)

    def _end_value(self, out: list[bytes]) -> None:
        self._after_key = False
        if self._cut is not None and len(self._levels) == self._cut_level:
            self._end_cut(out)

    def _end_cut(self, out: list[bytes]) -> None:
        """Go on behind what was cut out, with what replaces it."""
        cut = b"".join(self._cut or ())
        self._cut = None
        self._after_key = False
        shown = None
        if self._replacement is not None and self._levels[-1].is_source:
            index = next((one.index for one in reversed(self._levels) if one.index), "")
            shown = self._replacement(index, cut)
        if shown is None:
            self._drops_comma = self._first
        else:
            out.append(shown if self._first else b"," + shown)


def cut_out(
    data: bytes, replacement: Replacement | None = None, source_of: str | None = None
) -> bytes:
    """A whole answer without what the layer added."""
    if _NAME not in data:
        return data
    cutter = Cutter(replacement, source_of)
    return cutter.feed(data) + cutter.finish()
