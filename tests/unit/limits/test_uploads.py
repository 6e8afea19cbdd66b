from __future__ import annotations

import asyncio

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.streams import StreamReader

from proxy.ground.errors import StatusError
from proxy.limits.uploads import next_piece


@pytest.fixture
async def content():
    loop = asyncio.get_running_loop()
    protocol = BaseProtocol(loop)
    protocol.connection_made(asyncio.Transport())
    return StreamReader(protocol, 2**16, loop=loop)


async def test_a_body_comes_in_pieces_and_ends_with_an_empty_one(content):
    content.feed_data(b"one")
    assert await next_piece(content) == b"one"
    content.feed_eof()
    assert await next_piece(content) == b""


async def test_a_body_that_does_not_go_on_is_refused(content):
    with pytest.raises(StatusError, match="did not come in time") as caught:
        await next_piece(content, pause=0.01)
    assert caught.value.status == 408
    content.feed_data(b"late")
    assert await next_piece(content, pause=0.01) == b"late"
