"""Which part of a bulk's body need not be read."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from proxy.ground.errors import StatusError
from proxy.semantic.plainlines import PlainLines

ITEM = b'{"index":{"_id":"1"}}\n{"a":"b"}\n'
NAMED = b'{"index":{"_index":"x"}}\n{}\n'


async def pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def divided(data: bytes, size: int) -> tuple[PlainLines, list[bytes], bytes]:
    lines = PlainLines(pieces(data, size))
    plain = [piece async for piece in lines.plain()]
    return lines, plain, b"".join([piece async for piece in lines.left()])


@pytest.mark.parametrize("size", [1, 3, 7, 40, 1000])
async def test_a_body_that_names_no_index_is_plain(size):
    lines, plain, left = await divided(ITEM * 9, size)
    assert b"".join(plain) == ITEM * 9
    assert (lines.is_whole, lines.is_divided, lines.lines, left) == (True, False, 18, b"")


@pytest.mark.parametrize("size", [1, 3, 7, 40, 1000])
@pytest.mark.parametrize(
    "unclear",
    [
        NAMED,
        b'{"index":{"\\u005findex":"x"}}\n{}\n',
        b'{"delete":{"_id":"1"}}\n',
        b'{"index":{}}\n{"_index":1}\n',
        b'{"index":{}}\n\n',
        b"\r\n",
        "{}".encode("utf-16-le"),
    ],
)
async def test_a_body_is_divided_between_items(size, unclear):
    data = ITEM * 5 + unclear + ITEM
    lines, plain, left = await divided(data, size)
    assert b"".join(plain) + left == data
    assert not lines.is_whole
    assert lines.is_divided
    assert left.endswith(unclear + ITEM)
    assert b"".join(plain) == ITEM * (lines.lines // 2)
    assert size > 1 or lines.lines == 10


async def test_what_is_incomplete_at_the_end_belongs_to_it():
    for data in (b"", ITEM + b'{"index":{}}', ITEM + b'{"index":{}}\n', b"rubbish"):
        lines, plain, left = await divided(data, 5)
        assert (b"".join(plain), left, lines.is_whole) == (data, b"", True)


async def test_what_is_very_long_is_read():
    data = ITEM + b'{"index":{}}\n{"a":"' + b"x" * 3_000_000
    lines, plain, left = await divided(data, 65536)
    assert lines.is_divided
    assert b"".join(plain) == ITEM
    assert len(left) == len(data) - len(ITEM)


async def test_a_body_that_breaks_off():
    async def breaking() -> AsyncIterator[bytes]:
        yield ITEM
        raise StatusError(408, "no more")

    lines = PlainLines(breaking())
    with pytest.raises(StatusError, match="no more"):
        [piece async for piece in lines.plain()]
    assert isinstance(lines.error, StatusError)
    assert not lines.is_whole
