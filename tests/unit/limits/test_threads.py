from __future__ import annotations

import threading

from proxy.limits.threads import offload


async def test_what_is_large_is_read_beside_the_event_loop():
    here = threading.get_ident()
    assert await offload(10, 10, threading.get_ident) == here
    assert await offload(11, 10, threading.get_ident) != here
