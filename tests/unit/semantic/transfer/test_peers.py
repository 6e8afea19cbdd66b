"""What peers answer, and why they refuse."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.semantic.transfer.peers import Refused, asked, document, reason_in
from tests.unit.semantic.transfer.peer import Said, StubPeer


async def test_a_good_answer_is_its_document():
    peer = StubPeer({"a": 1}, {"b": 1}, Said(None))
    assert await document(peer, "GET", "/x") == {"a": 1}
    assert await asked(peer, "POST", "/x", {"q": 1}) == b'{"b":1}'
    assert peer.asked[1].json == {"q": 1}
    assert await document(peer, "POST", "/x", b"line\n") is None
    assert peer.asked[2].body == b"line\n"


@pytest.mark.parametrize(
    ("status", "hint"), [(400, ""), (401, "; name a user"), (403, "; name a user by")]
)
async def test_a_refusal_names_peer_request_and_reason(status: int, hint: str):
    peer = StubPeer(Said({"error": {"reason": "because"}}, status))
    with pytest.raises(Refused) as caught:
        await document(peer, "GET", "/x?secret=1")
    assert caught.value.status == status
    assert caught.value.reason.startswith(f"http://peer answered {status} to GET /x: because{hint}")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"error":{"reason":"a","caused_by":{"reason":"b","caused_by":{"reason":"a"}}}}', "a: b"),
        (b'{"error":"plain"}', "plain"),
        (b'{"error":{"caused_by":"x"}}', "x"),
        (b"", "no reason is given"),
        (b"<html>", "no reason is given"),
        (b"[]", "no reason is given"),
        (b'{"error":{}}', "no reason is given"),
    ],
)
def test_reasons(body: bytes, reason: Any):
    assert reason_in(body) == reason
