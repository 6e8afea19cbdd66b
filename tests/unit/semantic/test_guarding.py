"""What of an index expression a caller may search; whoever tells is played by a stand-in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.ground.authorization import Allowed, IndexAction, Refused
from proxy.ground.errors import ProxyError, Unauthorized, UpstreamUnavailable
from proxy.semantic.guarding import Guard
from proxy.semantic.registry import Part, Target
from proxy.semantic.targets import WriteTarget
from proxy.upstream.passingback import UpstreamAnswer
from tests.unit.semantic.targets import semantic_field

FIELDS = {"body": semantic_field()}
NOTES, OTHER = Part(names=("notes",), indices=frozenset(["notes"])), Part(names=("other",))
PATTERN = Part(names=("a", "b"), indices=frozenset("ab"), is_pattern=True)


class Denied(Refused):
    def __init__(self, lacking: Sequence[Sequence[str]]) -> None:
        self.lacking = lacking

    async def error(self) -> ProxyError:
        return Unauthorized(",".join(names[0] for names in self.lacking))


class Permissions:
    """Lets the caller search what is named, and counts the questions."""

    def __init__(self, *granted: str, seen: int = 0) -> None:
        self.granted = granted
        self.seen = seen  # shards of what Elasticsearch itself lets the caller search
        self.questions: list[Any] = []

    async def check(self, headers, target, action: IndexAction):
        self.questions.append((action.value, action.indices))
        lacking = [names for names in action.indices if not set(names) & set(self.granted)]
        return Denied(lacking) if lacking else Allowed(authenticated=False)

    async def ask_as_caller(self, request, method, target, body=b""):
        self.questions.append(target)
        answer = orjson.dumps({"_shards": {"total": self.seen}})
        return UpstreamAnswer(status=200, headers={}, body=answer)


class Request:
    headers = CIMultiDictProxy(CIMultiDict[str]())
    raw_path = "/x/_search"


def target(*parts: Part, name: str = "*") -> Target:
    indices = {index for part in parts for index in part.indices}
    fields = dict.fromkeys(sorted(indices), FIELDS)
    return Target(exists=True, fields=fields, name=name, parts=parts)


async def searchable(permissions: Permissions, of: Target) -> Target:
    guard = Guard(permissions, permissions)  # type: ignore[arg-type] # both in one
    return await guard.searchable(Request(), of)  # type: ignore[arg-type]


async def test_what_may_be_searched_is_asked_for_once():
    permissions, of = Permissions("notes", "b"), target(NOTES, PATTERN)
    assert await searchable(permissions, of) is of
    assert permissions.questions == [("indices:data/read/search", [("notes",), ("a", "b")])]


async def test_a_name_that_may_not_be_searched_is_refused_and_no_other_is_told():
    with pytest.raises(Unauthorized, match=r"^other$"):
        await searchable(Permissions("notes"), target(NOTES, OTHER, PATTERN))


async def test_of_a_pattern_only_what_may_be_searched_is_left():
    left = await searchable(Permissions("notes"), target(NOTES, PATTERN, name="notes,*"))
    assert list(left.fields) == ["notes"]
    assert left.others
    assert left.parts == (NOTES, Part(names=("*",), is_pattern=True))


@pytest.mark.parametrize("seen", [0, 3])
async def test_patterns_without_semantic_fields_are_left_to_elasticsearch(seen):
    permissions, of = Permissions(seen=seen), target(Part(names=("x*",), is_pattern=True))
    if seen:
        assert await searchable(permissions, of) is of
    else:
        with pytest.raises(Unauthorized, match=r"^x\*$"):
            await searchable(permissions, of)
    assert str(permissions.questions[1]).startswith("/x*/_search?size=0")


async def test_what_names_no_index_at_all_needs_the_right_to_search_some():
    nothing = Target(exists=False, fields={})
    assert await searchable(Permissions("*"), nothing) is nothing
    with pytest.raises(Unauthorized):
        await searchable(Permissions("notes"), nothing)


@pytest.mark.parametrize(
    ("action", "asked"),
    [
        ("index", "indices:data/write/index:op_type/index"),
        ("create", "indices:data/write/index:op_type/create"),
        ("update", "indices:data/write/update"),
    ],
)
async def test_who_writes_needs_what_elasticsearch_asks_for(action, asked):
    permissions = Permissions("notes")
    guard = Guard(permissions, permissions)  # type: ignore[arg-type]
    to = WriteTarget(index=None, fields=FIELDS, parts=(NOTES,))
    refusal = await guard.refusal(Request(), action, to, is_single=False)  # type: ignore[arg-type]
    assert refusal is None
    making = "indices:admin/auto_create"  # as there is no such index yet
    assert permissions.questions == [(asked, [("notes",)]), (making, [("notes",)])]


class Recovering(Permissions):
    """The upstream answers questions about fields as the test says."""

    def __init__(self, answer: UpstreamAnswer) -> None:
        super().__init__("notes")
        self.answer = answer

    async def check(self, headers, target, action: IndexAction):
        return Allowed(authenticated=True)

    async def ask_as_caller(self, request, method, target, body=b""):
        return self.answer


@pytest.mark.parametrize(
    ("kind", "is_gone"),
    [("index_not_found_exception", True), ("illegal_index_shard_state_exception", False)],
)
async def test_fields_of_shards_that_recover_are_not_taken_for_checked(kind, is_gone):
    body = orjson.dumps({"error": {"type": kind}, "status": 404})
    upstream = Recovering(UpstreamAnswer(status=404, headers={}, body=body))
    guard = Guard(upstream, upstream)  # type: ignore[arg-type]
    if is_gone:
        await guard.searchable(Request(), target(NOTES))  # type: ignore[arg-type]
        return
    with pytest.raises(UpstreamUnavailable):
        await guard.searchable(Request(), target(NOTES))  # type: ignore[arg-type]
