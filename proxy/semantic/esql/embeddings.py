"""Calls of TEXT_EMBEDDING in a query, and the vectors that stand for them.

Source: TextEmbedding, ParametrizedTokenSource, RequestXContent.parseParams.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from proxy.semantic.esql.lexer import Token

FUNCTION: Final = "text_embedding"
# The tokens behind the name, as `_sign` has them.
_CALL: Final = re.compile(r"\(c,c(?P<options>,\{c:c\})?\)")
_LONGEST: Final = 11
_ANONYMOUS: Final = ("?", "??")
_VECTOR: Final = "TO_DENSE_VECTOR"
_PLACE: Final = re.compile(r"\b([Ll]ine )(\d+):(\d+)")  # as Elasticsearch's errors tell it
_TIMEOUT: Final = "timeout"
_VALUE: Final = "value"  # of a parameter, as against the name of a field

Edit = tuple[int, int, str]  # from where to where something else stands, and what


@dataclass(frozen=True, slots=True)
class Call:
    """A call whose arguments are constants; `place` is where that of the endpoint stands."""

    text: str
    inference_id: str
    timeout: str | None
    start: int
    end: int
    place: int


class Parameters:
    """What the parameters of a query stand for, as far as these are strings."""

    def __init__(self, params: Any, found: Sequence[Token]) -> None:
        """`found` are all tokens of the query: some parameters are told apart by their place."""
        self._values: list[str | None] = []
        self._names: dict[str, str | None] = {}
        for one in params if isinstance(params, list) else ():
            value = one
            if isinstance(one, Mapping) and len(one) == 1:
                ((name, value),) = one.items()
                if isinstance(value, Mapping):
                    value = next(
                        (each for key, each in value.items() if key.lower() == _VALUE), None
                    )
                self._names[name] = value if isinstance(value, str) else None
            self._values.append(value if isinstance(value, str) else None)
        anonymous = (one for one in found if one.kind == "parameter" and one.text in _ANONYMOUS)
        self.numbers = {token.start: number for number, token in enumerate(anonymous, 1)}

    def __getitem__(self, token: Token) -> str | None:
        """The string that a token stands for; None for what is none, or none that is known."""
        name = token.text[1:]
        if token.kind == "string":
            return token.value()
        if token.kind != "parameter" or name.startswith("?"):
            return None
        number = int(name) if name.isdecimal() else self.numbers.get(token.start)
        if number is None:
            return self._names.get(name)
        return self._values[number - 1] if 0 < number <= len(self._values) else None


def calls(found: Sequence[Token], parameters: Parameters) -> Iterator[Call]:
    """The calls with two constants, and perhaps a timeout, among the tokens of a query."""
    for place, token in enumerate(found):
        if not token.is_name(FUNCTION):
            continue
        behind = found[place + 1 : place + 1 + _LONGEST]
        shape = _CALL.match("".join(map(_sign, behind)))
        if shape is None:
            continue
        text, inference_id = parameters[behind[1]], parameters[behind[3]]
        timeout = None
        if shape["options"] is not None:
            timeout = parameters[behind[8]]
            if parameters[behind[6]] != _TIMEOUT or timeout is None:
                continue
        if text is not None and inference_id is not None:
            end = behind[shape.end() - 1].end
            yield Call(text, inference_id, timeout, token.start, end, behind[3].start)


def _sign(token: Token) -> str:
    """A character for a token: `c` for what may be a constant."""
    if token.kind in ("string", "parameter"):
        return "c"
    return token.text if token.kind == "other" and len(token.text) == 1 else "n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """A query with vectors in the place of calls."""

    before: str
    text: str
    edits: Sequence[Edit]  # what stands for which parts of `before`, in order

    def reworded(self, told: str) -> str:
        """What Elasticsearch tells of the query, as of the one that came."""
        for start, end, text in self.edits:
            if text.startswith(_VECTOR):
                told = told.replace(text, self.before[start:end])
        if _VECTOR not in self.before.upper():  # an upstream may not know the function
            told = told.replace(f"[{_VECTOR}]", f"[{FUNCTION.upper()}]")
        return _PLACE.sub(self._place_before, told)

    def _place_before(self, place: re.Match[str]) -> str:
        """Where a place in the query was, the beginning of a call for any in its vector."""
        line, column = int(place[2]), int(place[3])
        offset = sum(len(one) + 1 for one in self.text.split("\n")[: line - 1]) + column - 1
        longer = 0  # by how much what stands before has become longer
        for start, end, text in self.edits:
            begin = start + longer
            if offset < begin + len(text):
                offset = min(offset, begin)
                break
            longer += len(text) - (end - start)
        above = self.before[: offset - longer]
        line, column = above.count("\n") + 1, len(above) - above.rfind("\n")
        return f"{place[1]}{line}:{column}"


def replaced(
    query: str,
    found: Sequence[Token],
    parameters: Parameters,
    vectors: Mapping[Call, Sequence[float]],
) -> Replaced:
    """The query with vectors in the place of calls.

    Where a parameter goes that is told apart by its place, the others get numbers.
    """
    edits = [(call.start, call.end, _literal(vector)) for call, vector in vectors.items()]
    left = {
        start: number
        for start, number in parameters.numbers.items()
        if not any(call.start <= start < call.end for call in vectors)
    }
    if len(left) < len(parameters.numbers):
        edits += [
            (token.start, token.end, f"{token.text}{left[token.start]}")
            for token in found
            if token.start in left
        ]
    edits.sort()
    parts: list[str] = []
    at = 0
    for start, end, text in edits:
        parts += (query[at:start], text)
        at = end
    return Replaced(before=query, text="".join([*parts, query[at:]]), edits=edits)


def _literal(vector: Sequence[float]) -> str:
    """A vector as an expression that can stand wherever the call can."""
    return f"{_VECTOR}([{', '.join(map(_number, vector))}])"


def _number(value: float) -> str:
    """Nine digits tell 32-bit floats apart."""
    text = f"{value:.9g}"
    return text if "." in text or "e" in text else f"{text}.0"
