"""How documents are written to a copy; a stand-in plays the Elasticsearch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from proxy.ground.errors import IllegalArgument
from proxy.semantic.hits import Hit
from proxy.semantic.transfer import copying
from proxy.semantic.transfer.copying import Copy
from proxy.semantic.transfer.original import Document
from proxy.semantic.transfer.peers import Refused
from tests.unit.semantic.transfer.peer import DESCRIBED, Asked, Said, StubPeer

CONFLICT = {"type": "version_conflict_engine_exception", "reason": "conflict"}


def document(name: str, version: int = 1, **content: Any) -> Document:
    source = orjson.dumps(content)
    about = {"_id": name, "_version": version, "_seq_no": 0, "_primary_term": 1}
    hit = Hit(about=about, source=source)
    return Document(hit=hit, source=source, content=content, inference={})


def copy(peer: StubPeer) -> Copy:
    return Copy(peer=peer, name="new", original=DESCRIBED, endpoints={})


def answers(*items: Any) -> dict[str, Any]:
    return {"items": [{"index": {"status": 201, **one}} for one in items]}


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "_PAUSE", 0.0)


async def test_the_index_is_made_like_its_original():
    peer = StubPeer(Said({}, 404), {})
    assert await copy(peer).begin()
    made = peer.asked[1]
    assert (made.method, made.target) == ("PUT", "/new")
    assert made.json == {
        "settings": {"number_of_shards": "2"},
        "mappings": DESCRIBED.mapping,
        "aliases": {"new-copy-of-Uu-1": {"is_hidden": True}},
    }


async def test_only_a_copy_of_this_index_goes_on():
    assert not await copy(StubPeer({"new": {"aliases": {"new-copy-of-Uu-1": {}}}})).begin()
    for alias in ("new-copy-of-another", "mine"):
        with pytest.raises(IllegalArgument, match=r"\[new\] at http://peer is no copy of \[old\]"):
            await copy(StubPeer({"new": {"aliases": {alias: {}}}})).begin()


async def test_documents_keep_their_bytes_and_versions():
    peer = StubPeer(answers({}, {}))
    made = copy(peer)
    odd = b'{"huge":123456789012345678901234567890,\n"x":1e400}'
    one = document("1", 7)
    pages = [
        Document(hit=one.hit, source=odd, content={"huge": 1.0}, inference={}),
        document("2", body=" "),
    ]
    await made.add(pages, is_new=True)
    lines = peer.asked[0].body.splitlines()
    assert peer.asked[0].target == "/new/_bulk?pipeline=_none"
    assert orjson.loads(lines[0]) == {
        "index": {"_id": "1", "version": 7, "version_type": "external"}
    }
    assert lines[1] == odd.replace(b"\n", b" ")
    assert orjson.loads(lines[3])["_inference_fields"]["body"]["inference"]["chunks"] == {
        "body": []
    }
    assert (made.progress.copied, made.progress.embedded) == (2, 0)


async def test_what_is_there_in_this_version_is_not_written_again():
    got = {"found": True, "_version": 1, "_seq_no": 5, "_primary_term": 2}
    there = [
        {**got, "_source": {"a": [{"b": [0.30000001]}], "_inference_fields": {}}},
        {**got, "_source": {"a": 0}},
        {**got, "_source": {"a": 3}},
        {"found": False},
    ]
    peer = StubPeer({"docs": there}, answers({}, {}, {}))
    made = copy(peer)
    rounded = document("1", a=[{"b": [0.3]}])
    page = [rounded, document("2", a=2), document("3", 4, a=3), document("4", a=4)]
    await made.add(page, is_new=False)
    actions = [one["index"] for one in peer.asked[1].lines[::2]]
    assert actions == [
        {"_id": "2", "if_seq_no": 5, "if_primary_term": 2},
        {"_id": "3", "version": 4, "version_type": "external"},
        {"_id": "4", "version": 1, "version_type": "external"},
    ]
    assert (made.progress.copied, made.progress.present) == (3, 1)


async def test_a_document_that_was_just_deleted_here_is_made_again():
    peer = StubPeer(
        answers({"status": 409, "error": CONFLICT}), {"docs": [{"found": False}]}, answers({})
    )
    made = copy(peer)
    await made.add([document("1")], is_new=True)
    assert peer.asked[2].lines[0] == {"create": {"_id": "1"}}
    assert (made.progress.copied, made.progress.failures) == (1, [])


async def test_a_document_in_conflict_for_ever_has_failed():
    def by(asked: Asked) -> Any:
        if "_mget" in asked.target:
            return {"docs": [{"found": False}]}
        return answers({"status": 409, "error": CONFLICT})

    made = copy(StubPeer(by=by))
    await made.add([document("1")], is_new=True)
    assert made.progress.failures == ["[1]: it is written to by others"]


async def test_what_may_pass_is_tried_again():
    full = {"status": 429, "error": {"type": "es_rejected_execution_exception", "reason": "full"}}
    peer = StubPeer(None, Said({"error": "x"}, 503), answers({}, full), answers({}))
    made = copy(peer)
    await made.add([document("1"), document("2")], is_new=True)
    assert [len(one.lines) for one in peer.asked] == [4, 4, 4, 2]
    assert (made.progress.copied, made.progress.failures) == (2, [])


async def test_a_refusal_of_all_ends_it_at_once():
    error = {"error": {"type": "security_exception", "reason": "unauthorized"}}
    with pytest.raises(Refused, match=r"unauthorized; name a user by --username"):
        await copy(StubPeer(Said(error, 403))).add([document("1")], is_new=True)


async def test_a_copy_is_given_up_when_too_many_documents_fail():
    licence = {"status": 403, "error": {"reason": "current license is non-compliant"}}

    def by(asked: Asked) -> Any:
        return answers(*[licence] * (len(asked.lines) // 2))

    made = copy(StubPeer(by=by))
    await made.add([document(str(n)) for n in range(99)], is_new=True)
    with pytest.raises(IllegalArgument, match=r"given up after 100 .*license is non-compliant"):
        await made.add([document("99")], is_new=True)


async def test_aliases_move_with_all_that_is_said_of_them():
    settings = {"old": {"settings": {"index.uuid": "Uu-1"}}}
    about = {"filter": {"term": {"a": 1}}, "is_write_index": True}
    original = replace(DESCRIBED, aliases={"both": about})
    mark = {"remove": {"index": "new", "alias": "new-copy-of-Uu-1"}}
    added = {"add": {"index": "new", "alias": "both", **about}}
    here = Copy(peer=StubPeer(settings), name="new", original=original, endpoints={})
    assert await here.actions() == [mark, {"remove": {"index": "old", "alias": "both"}}, added]
    elsewhere = Copy(peer=StubPeer(Said({}, 404)), name="new", original=original, endpoints={})
    assert await elsewhere.actions() == [mark, added]
