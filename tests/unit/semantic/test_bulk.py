"""The items of a `_bulk`, and the windows that they are worked through in."""

from __future__ import annotations

from collections.abc import AsyncIterator

import orjson
import pytest

from proxy.ground.errors import IllegalArgument
from proxy.semantic.bulk import Guard, Item, Malformed, Window, read_action, rendered, windows
from proxy.semantic.documents import Place
from tests.unit.semantic.items import filled


async def _pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def _read(data: bytes, *, piece: int, size: int) -> list[Window]:
    return [window async for window in windows(_pieces(data, piece), size, size)]


BODY = b'\n{"index":{"_id":"1"}}\r\n{"a":1}\r\n{"delete":{"_id":2}}\n\n{"update":{}}\n\n'


@pytest.mark.parametrize("piece", [1, 7, 1000])
@pytest.mark.parametrize("size", [1, 20, 1000])
async def test_items_do_not_depend_on_how_they_arrive(piece: int, size: int) -> None:
    found = await _read(BODY, piece=piece, size=size)
    items = [item for window in found for item in window.items]
    assert [(item.action, item.id, item.source) for item in items] == [
        ("index", "1", b'{"a":1}'),
        ("delete", "2", None),
        ("update", None, b""),
    ]
    assert items[0].action_line == b'{"index":{"_id":"1"}}\r'


async def test_the_first_window_has_a_size_of_its_own() -> None:
    pieces = _pieces(b'{"delete":{"_id":1}}\n' * 100, 21)
    found = [window async for window in windows(pieces, 21 * 10, 21 * 40)]
    assert [len(window.items) for window in found] == [10, 40, 40, 10]


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize(
    ("more", "line", "before"),
    [
        (b"rubbish\n{}\n", b"rubbish\n", 8),
        (b'{"index":{}}\n{}\n{"x":1}\n', b'{"x":1}\n', 10),
        (b'{"index":{}}\n{}', b"{}", 9),
    ],
)
async def test_malformed_lines_are_told_by_their_number(
    size: int, more: bytes, line: bytes, before: int
) -> None:
    with pytest.raises(Malformed) as caught:
        await _read(BODY + b"\n" + more, piece=5, size=size)
    assert (caught.value.line, caught.value.before) == (line, before)


@pytest.mark.parametrize(
    "line", [b"[]", b"{}", b'{"index":1}', b'{"indx":{}}', b'{"index":{},"a":{}}']
)
def test_other_lines_are_no_actions(line: bytes) -> None:
    assert read_action(line) is None


@pytest.mark.parametrize(
    ("meta", "read"),
    [
        (b'"_index":1e3,"_id":1.50', {"_index": "1e3", "_id": "1.50"}),
        (b'"_index":true,"_id":-0', {"_index": "true", "_id": "-0"}),
        (
            b'"_index":100000000000000000000000,"version":7',
            {"_index": "1" + "0" * 23, "version": 7},
        ),
        (b'"_index":null,"_id":17,"pipeline":false', {"_id": "17", "pipeline": "false"}),
        (b'"_id":1.0,"_id":2.0', {"_id": "2.0"}),  # which is refused
    ],
)
def test_names_are_read_as_they_are_written(meta: bytes, read: dict[str, object]) -> None:
    assert read_action(b'{"index":{%b}}' % meta) == ("index", read)


@pytest.mark.parametrize(
    ("line", "action"),
    [
        (b'{"index":{"op_type":"create"}}', "create"),
        (b'{"index":{"op_type":"index"}}', "index"),
        (b'{"create":{"op_type":"index"}}', "create"),
        (b'{"update":{"op_type":"create"}}', "update"),  # which is refused
    ],
)
def test_a_line_that_indexes_may_only_create(line: bytes, action: str) -> None:
    found = read_action(line)
    assert found is not None
    assert found[0] == action


def test_a_rendered_item_keeps_no_vectors() -> None:
    item = filled("1", 2)
    item.source, item.place = b'{"f":"x"}', Place(9, False)
    assert item.filling is not None
    for chunk in item.filling.fields["f"].chunks:
        chunk.vector = b"[0.5]"
    assert rendered([item]).count(b'"embeddings":[0.5]') == 2
    assert item.filling.chunk_count() == 0
    assert item.is_filled


def test_the_number_of_a_line_among_those_that_are_sent() -> None:
    failed = Item(action="index", meta={}, action_line=b"{}", source=b"{}")
    failed.failure = IllegalArgument("no")
    deletion = Item(action="delete", meta={}, action_line=b"{}", source=None)
    sent = Item(action="index", meta={}, action_line=b"{}", source=b"{}")
    window = Window([failed, deletion, failed, sent], lines=10)
    assert [window.line_of(line) for line in (1, 2, 3, 4)] == [13, 16, 17, 18]


def test_the_version_that_was_read_is_told_though_nothing_is_put_in() -> None:
    guard = Guard(if_seq_no=1, if_primary_term=2)
    line = b'{"index":{"_id":"1"}}'
    item = Item(action="index", meta={"_id": "1"}, action_line=line, source=b"{}", guard=guard)
    sent, source = item.rendered().splitlines()
    assert orjson.loads(sent) == {"index": {"_id": "1", "if_seq_no": 1, "if_primary_term": 2}}
    assert source == b"{}"
