"""The windows in which the items of a `_bulk` are prepared, and in which they are sent."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from proxy.semantic.bulk import Item, Window
from proxy.semantic.parting import Gathering, groups, is_large
from tests.unit.semantic.items import filled


def _gathered(items: Sequence[Item], *, together: int = 1000, lines: int = 0) -> list[Window]:
    """The windows of items of which `together` are prepared at once."""
    gathering = Gathering(lambda item: item.id)
    made = [
        window
        for group in groups(Window(list(items), lines), together)
        for window in gathering.full(group)
    ]
    return [*made, *gathering.rest()]


def _sizes(windows: Sequence[Window]) -> list[int]:
    return [len(window.items) for window in windows]


@pytest.mark.parametrize("together", [1, 2, 1000])
def test_windows_are_cut_by_the_vectors_they_get(together: int) -> None:
    def sizes(items: Sequence[Item]) -> list[int]:
        return _sizes(_gathered(items, together=together))

    assert sizes([filled(str(number), 50) for number in range(9)]) == [4, 4, 1]
    assert sizes([filled("1", 1), filled("2", 5000), filled("3", 1)]) == [1, 1, 1]
    assert sizes([filled(str(number), 250, 1) for number in range(5)]) == [2, 2, 1]
    assert sizes([]) == []


def test_as_long_as_nothing_is_embedded_windows_are_small() -> None:
    gathering = Gathering(id)

    def gathered(count: int) -> list[int]:
        list(gathering.full(Window([filled("1", 10) for _ in range(count)], 0)))
        return _sizes(list(gathering.enough()))

    assert gathered(0) == []
    assert gathered(1) == [1]  # the first one, however small
    assert gathered(1) == []
    assert gathered(11) == []
    assert gathered(1) == [13]
    assert gathered(14) == [14]
    assert gathered(1) == []


@pytest.mark.parametrize("together", [1, 2, 1000])
def test_updates_of_one_document_are_kept_apart(together: int) -> None:
    items = [filled("1", 1), filled("2", 1), filled("1", 1), filled("3", 1), filled("1", 1)]
    windows = _gathered(items, together=together, lines=10)
    assert _sizes(windows) == [2, 2, 1]
    assert [window.lines for window in windows] == [10, 14, 18]


@pytest.mark.parametrize(("count", "sizes"), [(60, [60]), (80, [17, 17, 17, 17, 12])])
def test_documents_of_a_large_body_are_prepared_a_few_at_once(count: int, sizes: list[int]) -> None:
    source = b"x" * 1000
    items = [Item(action="index", meta={}, action_line=b"{}", source=source) for _ in range(count)]
    window = Window(items, 7)
    assert is_large(window) == (len(sizes) > 1)
    made = list(groups(window))
    assert _sizes(made) == sizes
    assert [group.lines for group in made] == [7 + 2 * 17 * number for number in range(len(sizes))]


def test_more_documents_are_ingested_at_once() -> None:
    source = b"x" * 1024
    items = [Item(action="index", meta={}, action_line=b"{}", source=source) for _ in range(200)]
    assert _sizes(list(groups(Window(items), 500))) == [128, 72]
    assert _sizes(list(groups(Window(items), 100))) == [100, 100]


def test_the_first_documents_of_a_large_body_are_soon_prepared() -> None:
    source = b"x" * 1024
    items = [Item(action="index", meta={}, action_line=b"{}", source=source) for _ in range(500)]
    sizes = _sizes(list(groups(Window(items), is_first=True)))
    assert sizes == [4, 8, *[16] * 30, 8]
    assert _sizes(list(groups(Window(items[:64]), is_first=True))) == [64]


def test_few_large_documents_fill_a_window() -> None:
    source = b"x" * 400_000
    items = [Item(action="index", meta={}, action_line=b"{}", source=source) for _ in range(5)]
    assert _sizes(_gathered(items)) == [2, 2, 1]
