"""Texts of many callers: when they share a call, and what becomes of each."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest

from proxy.config import ProviderConfig
from proxy.ground.advice import Advice
from proxy.ground.authorization import Allowed, Permission, confirm, held
from proxy.ground.errors import (
    CountMismatch,
    MemoryShort,
    ProxyError,
    Rejected,
    StatusError,
    Unauthorized,
)
from proxy.huggingface import coalescing
from proxy.huggingface.batching import Batch, texts_of
from proxy.huggingface.coalescing import Coalescer
from proxy.huggingface.sharedcalls import Caller
from proxy.huggingface.sizes import Sizes
from proxy.limits.deadline import NO_DEADLINE, Deadline
from proxy.limits.memory import MemoryBudget
from tests.support.samples import make_endpoint

ENDPOINT = make_endpoint(url="http://127.0.0.1:1/")
IN_A_CALL = 4  # texts


class Sender:
    """Calls end when they are told to; each result is its text."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.deadlines: list[Deadline] = []
        self.cancelled: list[list[str]] = []
        self.turns = 0
        self.is_limited = False
        self.next_turn = asyncio.Event()
        self.refuses: Callable[[list[str]], ProxyError | None] = lambda texts: None
        self.is_full = False
        self.answers_at_once = False
        self._ends: list[asyncio.Event] = []

    def sizes(self, endpoint: Any) -> Sizes:
        return Sizes(IN_A_CALL)

    def take_turn(self, endpoint: Any) -> bool:
        return not self.is_limited

    def check_room(self, endpoint: Any, waiting: int) -> None:
        if self.is_full:
            raise Rejected("queue is full", "queue")

    async def turn(self, endpoint: Any) -> None:
        self.turns += 1
        if self.is_limited:
            await self.next_turn.wait()
            self.next_turn.clear()

    async def send(self, endpoint: Any, task: Any, batch: Batch, deadline: Deadline) -> list[str]:
        await confirm()
        self.calls.append(batch.contents)
        self.deadlines.append(deadline)
        end = asyncio.Event()
        self._ends.append(end)
        if self.answers_at_once:
            end.set()
        try:
            await end.wait()
        except asyncio.CancelledError:
            self.cancelled.append(batch.contents)
            raise
        if (error := self.refuses(batch.contents)) is not None:
            raise error
        return batch.contents

    async def answer(self, count: int = 1) -> None:
        """Let the calls that began first end, and what follows from it happen."""
        for end in self._ends[:count]:
            end.set()
        del self._ends[:count]
        await settled()

    async def answer_one(self, index: int) -> None:
        self._ends.pop(index).set()
        await settled()

    async def answer_last(self) -> None:
        await self.answer_one(-1)

    async def answer_all(self) -> None:
        while self._ends:
            await self.answer(len(self._ends))


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


class Callers:
    """Requests to one coalescer, with two calls at once and four texts in each."""

    def __init__(self, **settings: Any) -> None:
        self.sender = Sender()
        config = ProviderConfig(**{"concurrency": 2, **settings})
        self.coalescer: Coalescer[str] = Coalescer(self.sender, None, config, len)  # type: ignore[arg-type]

    async def ask(self, *texts: str, deadline: Deadline = NO_DEADLINE) -> asyncio.Task[list[str]]:
        work = self.coalescer.results(ENDPOINT, texts_of(texts), deadline)
        task = asyncio.ensure_future(work)
        await settled()
        return task

    async def busy(self) -> list[asyncio.Task[list[str]]]:
        """Use all calls up."""
        return [await self.ask("busy 1"), await self.ask("busy 2")]

    @property
    def calls(self) -> list[list[str]]:
        return self.sender.calls

    @property
    def is_empty(self) -> bool:
        return self.coalescer._lines == {}


@pytest.fixture
async def callers():
    """At the end, nothing is left of anybody."""
    made = Callers()
    yield made
    await made.sender.answer_all()
    assert made.is_empty


async def test_with_calls_to_spare_each_request_makes_its_own(callers):
    first, second = await callers.ask("a"), await callers.ask("b", "c")
    assert callers.calls == [["a"], ["b", "c"]]
    await callers.sender.answer_all()
    assert (await first, await second) == (["a"], ["b", "c"])


async def test_requests_of_one_turn_share_a_call_while_another_is_under_way(callers):
    first = await callers.ask("a")
    work = (callers.coalescer.results(ENDPOINT, texts_of([text]), NO_DEADLINE) for text in "bcd")
    others = asyncio.gather(*work)
    await settled()
    assert callers.calls == [["a"], ["b", "c", "d"]]
    await callers.sender.answer_all()
    assert (await first, await others) == (["a"], [["b"], ["c"], ["d"]])


async def test_a_request_of_the_next_turn_shares_the_call_too(callers):
    await callers.ask("a")
    work = (callers.coalescer.results(ENDPOINT, texts_of([text]), NO_DEADLINE) for text in "bc")
    others = []
    for one in work:
        others.append(asyncio.ensure_future(one))
        await asyncio.sleep(0)
    await settled()
    assert callers.calls == [["a"], ["b", "c"]]
    await callers.sender.answer_all()
    assert await asyncio.gather(*others) == [["b"], ["c"]]


async def test_who_leaves_in_the_turn_in_which_it_came_is_forgotten(callers):
    first = await callers.ask(*"abcde")  # too many for a call of its own
    await callers.sender.answer_all()
    assert await first == list("abcde")
    work = callers.coalescer.results(ENDPOINT, texts_of("abcde"), NO_DEADLINE)
    gone = asyncio.ensure_future(work)
    await asyncio.sleep(0)
    gone.cancel()
    await settled()
    assert callers.is_empty


async def test_what_waits_goes_in_the_next_call(callers):
    await callers.busy()
    waiting = [await callers.ask(text) for text in "abc"]
    assert len(callers.calls) == 2
    await callers.sender.answer()
    assert callers.calls[2:] == [["a", "b", "c"]]
    await callers.sender.answer_all()
    assert [await one for one in waiting] == [["a"], ["b"], ["c"]]


async def test_calls_that_are_not_answered_do_not_hold_up_all(callers, monkeypatch):
    monkeypatch.setattr(coalescing, "_UNANSWERED", 0.01)
    await callers.busy()
    callers.sender.answers_at_once = True
    assert await (await callers.ask("a")) == ["a"]
    assert await (await callers.ask("b")) == ["b"]
    assert callers.sender.cancelled == []


@pytest.fixture
def soon_late(monkeypatch):
    """Calls are late very soon."""
    monkeypatch.setattr(coalescing, "_UNANSWERED", 0.05)


async def late() -> None:
    await asyncio.sleep(0.06)
    await settled()


@pytest.mark.usefixtures("soon_late")
async def test_a_text_whose_call_is_late_is_sent_again_for_who_comes_then(callers):
    first = await callers.ask("a")
    await late()
    second = await callers.ask("a")
    assert callers.calls == [["a"], ["a"]]
    await callers.sender.answer_last()
    assert await second == ["a"]
    assert not first.done()
    await callers.sender.answer_all()
    assert await first == ["a"]


@pytest.mark.usefixtures("soon_late")
async def test_a_text_whose_call_is_late_is_sent_again_for_who_has_joined_it(callers):
    busy = await callers.busy()
    await late()  # they leave their places
    first, joins = await callers.ask("a", "b"), await callers.ask("b")
    assert callers.calls[2:] == [["a", "b"]]
    await late()
    assert callers.calls[3:] == [["b"]]
    await callers.sender.answer_last()
    assert await joins == ["b"]
    assert callers.sender.cancelled == []
    await callers.sender.answer_last()
    assert await first == ["a", "b"]
    await callers.sender.answer_all()
    await asyncio.gather(*busy)


@pytest.mark.usefixtures("soon_late")
@pytest.mark.parametrize("answers", [0, 1])
async def test_the_first_answer_counts_and_the_other_call_ends(callers, answers):
    busy = await callers.busy()
    await late()
    first, joins = await callers.ask("a"), await callers.ask("a")
    await late()
    assert callers.calls[2:] == [["a"], ["a"]]
    await callers.sender.answer_one(2 + answers)
    assert (await first, await joins) == (["a"], ["a"])
    await settled()
    assert callers.sender.cancelled == [["a"]]
    await callers.sender.answer_all()
    await asyncio.gather(*busy)


@pytest.mark.usefixtures("soon_late")
@pytest.mark.parametrize("alone", [True, False])
async def test_a_late_failure_is_not_theirs_whose_texts_are_sent_again(callers, alone):
    busy = [] if alone else await callers.busy()
    await late()
    first, joins = await callers.ask("a"), await callers.ask("a")
    await late()
    callers.sender.refuses = lambda texts: StatusError(500, "broken") if "a" in texts else None
    await callers.sender.answer_one(len(busy))
    assert not joins.done()
    callers.sender.refuses = lambda texts: None
    await callers.sender.answer_all()
    assert await joins == ["a"]
    if alone:
        with pytest.raises(StatusError):
            await first
    else:
        assert await first == ["a"]
    await asyncio.gather(*busy)


@pytest.mark.usefixtures("soon_late")
async def test_who_leaves_ends_all_calls_that_were_made_for_it(callers):
    busy = await callers.busy()
    await late()
    both = [await callers.ask("a"), await callers.ask("a")]
    await late()
    for one in both:
        one.cancel()
    await settled()
    assert callers.sender.cancelled == [["a"], ["a"]]
    await callers.sender.answer_all()
    await asyncio.gather(*busy)


async def test_a_large_request_leaves_room_for_others(callers):
    await callers.busy()
    large = await callers.ask(*"abcdefgh")
    small = await callers.ask("small")
    await callers.sender.answer()
    assert callers.calls[2] == ["a", "b", "small", "c"]
    await callers.sender.answer_all()
    assert (await large, await small) == (list("abcdefgh"), ["small"])


async def test_a_request_of_many_texts_takes_as_many_calls_as_there_are(callers):
    large = await callers.ask(*"abcdefghi")
    assert callers.calls == [list("abcd"), list("efgh")]
    await callers.sender.answer_all()
    assert callers.calls[2:] == [["i"]]
    assert await large == list("abcdefghi")


async def test_a_text_under_way_is_not_sent_again(callers):
    first, second = await callers.ask("a"), await callers.ask("a")
    third = await callers.ask("b", "a")
    assert callers.calls == [["a"], ["b"]]
    await callers.sender.answer_all()
    assert (await first, await second, await third) == (["a"], ["a"], ["b", "a"])


async def test_a_request_that_repeats_itself_is_sent_as_it_is(callers):
    task = await callers.ask(*"aaaaa")
    assert callers.calls == [["a"] * 4, ["a"]]
    await callers.sender.answer_all()
    assert await task == ["a"] * 5


async def test_nothing_is_remembered(callers):
    for _ in range(2):
        task = await callers.ask("a")
        await callers.sender.answer_all()
        assert await task == ["a"]
    assert callers.calls == [["a"], ["a"]]


async def test_what_a_call_held_is_let_go_of_at_its_end(callers):
    gc.collect()
    gc.disable()
    try:
        tasks = [*await callers.busy(), await callers.ask("a"), await callers.ask("a", "b")]
        await callers.sender.answer_all()
        await asyncio.gather(*tasks)
        del tasks
        left = {type(one) for one in gc.get_objects(generation=0)}
    finally:
        gc.enable()
    modules = (Coalescer.__module__, Caller.__module__)
    assert not [one for one in left if one.__module__ in modules]


async def test_who_leaves_takes_only_its_own_texts_away(callers):
    await callers.busy()
    leaves, stays = await callers.ask("a", "both"), await callers.ask("b", "both")
    leaves.cancel()
    await settled()
    await callers.sender.answer()
    assert sorted(callers.calls[2]) == ["b", "both"]
    await callers.sender.answer_all()
    assert await stays == ["b", "both"]


async def test_who_leaves_amid_a_shared_call_does_not_end_it(callers):
    await callers.busy()
    leaves, stays = await callers.ask("a"), await callers.ask("b")
    await callers.sender.answer()
    leaves.cancel()
    await callers.sender.answer_all()
    assert await stays == ["b"]
    assert callers.sender.cancelled == []


async def test_a_shared_call_that_nobody_wants_ends(callers):
    await callers.busy()
    waiting = [await callers.ask("a"), await callers.ask("b")]
    await callers.sender.answer()
    for one in waiting:
        one.cancel()
    await settled()
    assert callers.sender.cancelled == [["a", "b"]]


async def test_a_call_ends_with_those_for_whom_it_was_made(callers):
    await callers.busy()
    first, second = await callers.ask("a"), await callers.ask("b")
    await callers.sender.answer()
    joins = await callers.ask("a")
    first.cancel()
    await settled()
    assert callers.sender.cancelled == []
    second.cancel()
    await settled()
    assert callers.sender.cancelled == [["a", "b"]]
    assert callers.calls[3] == ["a"]
    await callers.sender.answer_all()
    assert await joins == ["a"]


async def test_who_joins_a_call_that_fails_has_its_error(callers):
    await callers.busy()
    callers.sender.refuses = lambda texts: None if "a" not in texts else StatusError(400, "no")
    both = [await callers.ask("a")]
    await callers.sender.answer()
    both.append(await callers.ask("a"))
    await callers.sender.answer_all()
    for one in both:
        with pytest.raises(StatusError):
            await one
    assert callers.calls[2:] == [["a"]]


async def test_a_call_of_ones_own_ends_with_its_caller_and_others_ask_again(callers):
    leaves, stays = await callers.ask("a"), await callers.ask("a")
    leaves.cancel()
    await settled()
    assert callers.sender.cancelled == [["a"]]
    await callers.sender.answer_all()
    assert await stays == ["a"]


def bad_text(texts: list[str]) -> ProxyError | None:
    if "bad" not in texts:
        return None
    error = StatusError(400, "refused")
    error.provider_status = 422
    return error


def wrong_count(texts: list[str]) -> ProxyError | None:
    return CountMismatch(1, len(texts)) if "bad" in texts else None


async def test_an_error_of_all_texts_is_told_at_once(callers):
    error = StatusError(400, "paused").advised(Advice("paused", "Resume it.", 400, is_general=True))
    error.provider_status = 400
    callers.sender.refuses = lambda texts: error
    await callers.busy()
    both = [await callers.ask(text) for text in "ab"]
    await callers.sender.answer_all()
    for one in both:
        with pytest.raises(StatusError):
            await one
    assert callers.calls[2:] == [["a", "b"]]


@pytest.mark.parametrize("refuses", [bad_text, wrong_count])
async def test_an_error_of_one_text_is_its_callers_alone(callers, refuses):
    callers.sender.refuses = refuses
    await callers.busy()
    good = [await callers.ask(text) for text in "ab"]
    bad, other = await callers.ask("bad"), await callers.ask("c")
    await callers.sender.answer_all()
    assert [await one for one in (*good, other)] == [["a"], ["b"], ["c"]]
    with pytest.raises(StatusError):
        await bad
    assert callers.sender.turns == 4  # each half counts as a call, and each of its halves


async def test_any_other_error_is_everybodys_at_once(callers):
    def overloaded(texts: list[str]) -> ProxyError | None:
        error = StatusError(429, "overloaded")
        error.provider_status = 429
        return None if "busy 1" in texts else error

    callers.sender.refuses = overloaded
    await callers.busy()
    waiting = [await callers.ask(text) for text in "ab"]
    await callers.sender.answer_all()
    for one in waiting:
        with pytest.raises(StatusError, match="overloaded"):
            await one
    assert callers.calls[2:] == [["a", "b"]]


async def test_an_error_is_nobodys_news_when_who_waits_for_it_leaves(callers):
    async def unanswered() -> Any:
        await asyncio.Event().wait()

    async def joins() -> None:
        with held(Permission(Allowed(authenticated=True, expires=0), unanswered)):
            await callers.coalescer.results(ENDPOINT, texts_of(["a"]), NO_DEADLINE)

    faults: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, fault: faults.append(fault))
    callers.sender.refuses = lambda texts: StatusError(429, "overloaded")
    first, second = await callers.ask("a"), asyncio.ensure_future(joins())
    await settled()
    await callers.sender.answer_all()
    with pytest.raises(StatusError):
        await first
    second.cancel()
    await asyncio.wait([second])
    del second
    gc.collect()
    assert faults == []


async def test_an_error_of_the_caller_that_sends_is_not_the_others(callers):
    failures = iter([MemoryShort(1, 0)])
    callers.sender.refuses = lambda texts: next(failures, None)
    first, second = await callers.ask("a"), await callers.ask("a")
    await callers.sender.answer_all()
    with pytest.raises(MemoryShort):
        await first
    assert await second == ["a"]


async def test_who_may_no_longer_is_refused_and_sends_nothing(callers):
    async def no_longer() -> Any:
        raise Unauthorized("no more")

    async def refused() -> None:
        with held(Permission(Allowed(authenticated=True, expires=now[0] + 1), no_longer, clock)):
            await callers.coalescer.results(ENDPOINT, texts_of(["a"]), NO_DEADLINE)

    now = [0.0]

    def clock() -> float:
        return now[0]

    await callers.busy()
    loses, keeps = asyncio.ensure_future(refused()), await callers.ask("b")
    await settled()
    now[0] = 2.0
    await callers.sender.answer_all()
    with pytest.raises(Unauthorized):
        await loses
    assert await keeps == ["b"]
    assert callers.calls[2:] == [["b"]]


async def test_what_comes_while_the_rate_limit_is_waited_for_travels_along(callers):
    callers.sender.is_limited = True
    waiting = [await callers.ask(text) for text in "abc"]
    assert (callers.calls, callers.sender.turns) == ([], 1)
    callers.sender.next_turn.set()
    await settled()
    assert callers.calls == [["a", "b", "c"]]
    await callers.sender.answer_all()
    assert [await one for one in waiting] == [["a"], ["b"], ["c"]]


async def test_nobody_waits_for_the_rate_limit_when_all_have_left(callers):
    callers.sender.is_limited = True
    waiting = [await callers.ask(text) for text in "ab"]
    for one in waiting:
        one.cancel()
    await settled()
    assert callers.is_empty


async def test_a_full_line_takes_nobody_more(callers):
    await callers.busy()
    callers.sender.is_full = True
    with pytest.raises(Rejected):
        await (await callers.ask("a"))


async def test_a_line_that_takes_nobody_is_forgotten(callers):
    callers.sender.is_limited = callers.sender.is_full = True
    with pytest.raises(Rejected):
        await (await callers.ask("a"))
    assert callers.is_empty


async def test_a_shared_call_may_be_repeated_as_long_as_its_last_caller_waits(callers):
    await callers.busy()
    for at, text in ((5.0, "a"), (9.0, "b"), (7.0, "c")):
        await callers.ask(text, deadline=Deadline(at))
    await callers.sender.answer_all()
    assert callers.sender.deadlines[2] == Deadline(9.0)


async def test_each_caller_pays_for_its_own_results(callers):
    budget, held = MemoryBudget(100), {}

    async def request(*texts: str) -> None:
        with budget.request():
            before = budget.reserved
            await callers.coalescer.results(ENDPOINT, texts_of(texts), NO_DEADLINE)
            held[texts] = budget.reserved - before

    await callers.busy()
    requests = [asyncio.ensure_future(request(*texts)) for texts in (("aaa",), ("bb", "aaa"))]
    await settled()
    await callers.sender.answer_all()
    await asyncio.gather(*requests)
    assert held == {("aaa",): 3, ("bb", "aaa"): 5}
    assert budget.reserved == 0
