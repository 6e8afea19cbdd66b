"""What is wrong with a search whose retrievers could be read, all problems at once.

Source: CompoundRetrieverBuilder.validate, RescorerRetrieverBuilder, SearchRequest.validate,
SearchSourceBuilder.validate, MultiFieldsInnerRetrieverUtils.validateParams.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from proxy.ground.errors import ActionRequestInvalid, IllegalArgument
from proxy.semantic.retrievers.leaves import INSTEAD
from proxy.semantic.retrievers.tree import (
    Compound,
    Fusing,
    Leaf,
    Linear,
    Reranker,
    Rescorer,
    Retriever,
)

_NOT_BELOW: Final = ("search_after", "terminate_after")


def validate(
    tree: Retriever, body: Mapping[str, Any], parameters: Mapping[str, str], size: int
) -> None:
    """Raises: ActionRequestInvalid; IllegalArgument. `size` is -1 where the caller gives none."""
    given = [name for name in INSTEAD if name in body or (name != "query" and name in parameters)]
    if "q" in parameters and "query" not in given:
        given.insert(0, "query")
    problems = []
    if given:
        problems.append(f"cannot specify [retriever] and [{', '.join(given)}]")
    partial = parameters.get("allow_partial_search_results") in ("", "true")
    problems += _problems(tree, size, is_scroll="scroll" in parameters, is_partial=partial)
    if problems:
        raise ActionRequestInvalid(problems)
    _check_leaves(tree)


def _problems(tree: Retriever, size: int, *, is_scroll: bool, is_partial: bool) -> Iterator[str]:
    if isinstance(tree, Leaf):
        if tree.inner is not None:
            yield from _problems(tree.inner, size, is_scroll=is_scroll, is_partial=is_partial)
        return
    window, name = tree.common.window, tree.name
    if size > window:
        yield f"[{name}] requires {_window(tree)} be greater than or equal to [size: {size}]"
    if is_partial:
        yield f"cannot specify [{name}] and [allow_partial_search_results]"
    if is_scroll:
        yield f"cannot specify [{name}] and [scroll]"
    if window < 0:
        yield f"[{_name_of_window(tree)}] parameter cannot be negative, found [{window}]"
    for child in children(tree):
        yield from _problems(child, size, is_scroll=is_scroll, is_partial=is_partial)
        if not isinstance(child, Leaf) and window > child.common.window:
            yield (
                f"[{name}] requires {_window(tree)} to be smaller than or equal to its sub "
                f"retriever's {child.name} {_window(child)}"
            )
    if isinstance(tree, Fusing):
        yield from _problems_of_fields(tree)


def _window(tree: Compound) -> str:
    return f"[{_name_of_window(tree)}: {tree.common.window}]"


def _name_of_window(tree: Compound) -> str:
    return "window_size" if isinstance(tree, Rescorer) else "rank_window_size"


def _problems_of_fields(tree: Fusing) -> Iterator[str]:
    name, fields, query = tree.name, tree.simplified.fields, tree.simplified.query
    if fields is not None and query is None:
        yield f"[{name}] [query] must be provided when [fields] is specified"
    elif query is None and not tree.branches:
        yield f"[{name}] must provide [retrievers] or [query]"
    elif query is not None:
        if not query:
            yield f"[{name}] [query] cannot be empty"
        if fields is not None and not fields:
            yield f"[{name}] [fields] cannot be empty"
        if tree.branches:
            yield f"[{name}] cannot combine [retrievers] and [query]"
    if isinstance(tree, Linear) and query is not None and tree.normalizer is None:
        yield f"[{name}] [normalizer] must be provided when [query] is specified"


def children(tree: Retriever) -> list[Retriever]:
    """The retrievers right below one."""
    if isinstance(tree, Leaf):
        return [] if tree.inner is None else [tree.inner]
    if isinstance(tree, Reranker | Rescorer):
        return [tree.child]
    return [branch.retriever for branch in tree.branches]


def _check_leaves(tree: Retriever) -> None:
    for child in children(tree):
        if isinstance(child, Leaf):
            for name in _NOT_BELOW:
                if name in child.values:
                    raise IllegalArgument(
                        f"[{name}] cannot be used in children of compound retrievers"
                    )
        _check_leaves(child)
