"""Requests that must not be passed on, as aiohttp's server has parsed them."""

from __future__ import annotations

import logging

import pytest

from tests.support.http1 import REFUSED


@pytest.mark.parametrize(
    "name",
    [
        *("two Authorizations", "two spellings", "two X-Opaque-Ids", "fragment", "CONNECT"),
        *("absolute form", "asterisk form", "HTTP/2.0", "HTTP/0.9", "gzip, chunked", "not UTF-8"),
        *("unknown expectation", "coding and length", "two lengths", "no Host", "bare line feeds"),
    ],
)
async def test_what_the_lane_refuses_is_refused_here(world, name, caplog):
    caplog.set_level(logging.CRITICAL)
    raw, _ = REFUSED[name]
    caller = await world.caller()
    await caller.send(raw + b"0\r\n\r\n")
    assert (await caller.head()).split()[1] in (b"400", b"405", b"417", b"501", b"505")
    await caller.lost()
    assert world.connections == 0
