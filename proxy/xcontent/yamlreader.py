"""Reads YAML, with PyYAML's composer. Source: YamlXContentImpl."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final

from proxy.xcontent.budget import Budget, BudgetExceeded, parse_error
from proxy.xcontent.document import Bounds, Document, Node, scalar_kind

# Of a body. PyYAML is slow: so much takes it a few tenths of a second.
MAX_BYTES: Final = 256 * 1024
MAX_TOKENS: Final = 5000
_QUOTED: Final = re.compile(r"'[^']*'|\"[^\"]*\"")


def parse_yaml(data: bytes, bounds: Bounds) -> Document:
    """Read a YAML body; an empty one has no root. A syntax error is kept in the document."""
    import yaml

    document, budget = Document("", None), Budget(data, bounds)
    try:
        document.source = data.decode()
        if len(data) > MAX_BYTES:
            raise BudgetExceeded("bytes in YAML", MAX_BYTES)
        composed = yaml.compose(document.source, Loader=_loader())
        if composed is not None:
            document.root = _node(composed, budget, 0)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        offset = mark.index if mark is not None else 0
        document.error = parse_error(document, offset, _problem(error), error)
    document.values = budget.values
    return document


@cache
def _loader() -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        fetched = 0

        def fetch_more_tokens(self) -> None:
            self.fetched += 1
            if self.fetched > MAX_TOKENS:
                raise BudgetExceeded("tokens in YAML", MAX_TOKENS)
            super().fetch_more_tokens()

    return Loader


def _problem(error: Exception) -> str:
    """PyYAML's own words, without what they quote of the body.

    Single characters, and PyYAML's names of tokens such as `'<block end>'`, are kept.
    """
    problem = str(getattr(error, "problem", None) or "malformed YAML")
    return _QUOTED.sub(
        lambda quote: quote[0] if len(quote[0]) == 3 or quote[0][1:2] == "<" else "'...'", problem
    )


def _node(composed: Any, budget: Budget, depth: int) -> Node:
    budget.take(depth)
    start, end = composed.start_mark.index, composed.end_mark.index
    if composed.id == "mapping":
        node = Node("START_OBJECT", {}, start, end, {})
        for key, value in composed.value:
            if not isinstance(key.value, str) or key.value in node.value:
                raise ValueError("a duplicate key, or one that is not a string")
            key.value.encode()  # ValueError for a lone surrogate
            budget.take_text(key.value)
            node.keys[key.value] = key.start_mark.index
            node.value[key.value] = _node(value, budget, depth + 1)
        return node
    if composed.id == "sequence":
        items = [_node(item, budget, depth + 1) for item in composed.value]
        return Node("START_ARRAY", items, start, end)
    composed.value.encode()
    budget.take_text(composed.value)
    value = _scalar(composed.tag.rpartition(":")[2], composed.value)
    return Node(scalar_kind(value), value, start, end)


def _scalar(tag: str, text: str) -> Any:
    """The null, boolean or number that a text stands for; dates and the like stay strings."""
    match tag, text.lower():
        case "null", _:
            return None
        case "bool", "true" | "false":
            return text.lower() == "true"
        case "int", _ if re.fullmatch(r"[-+]?[0-9]{1,1000}", text):
            return int(text)
        case "float", _ if re.fullmatch(r"[-+]?[0-9.]+([eE][-+]?[0-9]+)?", text):
            return float(text)
    return text
