"""Texts of many callers, sent together while their endpoint has enough to do.

While an endpoint has nothing to do, a request makes a call of its own, at once. Else its texts
wait, and the next call takes as many as fit of all that wait, some of each caller. It is made as
soon as the endpoint may have one more, with all that comes by the next turn of the event loop; no
call waits longer for more texts. A text that is under way is not sent again: whoever wants it waits
for its result. A call that is not answered for a while leaves its place to another one, so that a
few lost ones do not hold up all; and then its texts are sent again for those who came later.

A caller that leaves takes only its own texts away. A call ends with the last of those for whom it
was made; who came to want one of its texts later has that sent again. Else a call that is never
answered would keep a text that is always wanted. Where one text may be to blame for an error, the
call is repeated in two halves, until only those share an error who want the same texts.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from operator import attrgetter
from typing import Any, Final, Generic, TypeVar

from proxy.config import ProviderConfig
from proxy.ground.advice import Advice
from proxy.ground.authorization import NOT_CONFIRMED, confirm, held
from proxy.ground.errors import MemoryShort, ProxyError, Rejected
from proxy.ground.frames import forget_frames
from proxy.ground.lateness import begin, current
from proxy.huggingface.batching import Batch, Text, fit, length_of
from proxy.huggingface.batchsender import BatchSender, BatchTask
from proxy.huggingface.failures import may_be_of_one_text
from proxy.huggingface.sharedcalls import Call, Caller, Changed, SharedCall, Wanted
from proxy.inference.endpoints import InferenceEndpoint
from proxy.limits.deadline import Deadline
from proxy.limits.memory import apart, reserve

T = TypeVar("T")
_UNANSWERED: Final = 3.0  # seconds after which a call leaves its place to another one
_Key = tuple[str | None, ...]
_END: Final = attrgetter("at")  # of a deadline
_OWN: Final = (MemoryShort, Rejected, *NOT_CONFIRMED)  # errors of a caller that are nobody else's


class Coalescer(Generic[T]):
    """Sends texts for one task, to any endpoint; `size_of` says how many bytes a result takes."""

    def __init__(
        self,
        sender: BatchSender,
        task: BatchTask[T],
        config: ProviderConfig,
        size_of: Callable[[T], int],
    ) -> None:
        self._sender = sender
        self._task = task
        self._config = config
        self._size_of = size_of
        self._lines: dict[_Key, _Line[T]] = {}

    def results(
        self, endpoint: InferenceEndpoint, texts: Sequence[Text], deadline: Deadline
    ) -> Coroutine[Any, Any, list[T]]:
        """A result for each text, in their order; to be awaited at once. Raises: ProxyError."""
        settings = endpoint.service_settings
        token = endpoint.secret_settings.api_key
        key = (endpoint.inference_id, endpoint.revision, settings.url, token)
        line = self._lines.get(key)
        if line is None:
            drop = partial(self._lines.pop, key, None)
            line = self._lines[key] = _Line(
                endpoint, self._sender, self._task, self._config, self._size_of, drop
            )
        return line.results(texts, deadline)


class _Line(Generic[T]):
    """The texts of one endpoint that are under way, or wait; `drop` forgets it once it is empty."""

    def __init__(
        self,
        endpoint: InferenceEndpoint,
        sender: BatchSender,
        task: BatchTask[T],
        config: ProviderConfig,
        size_of: Callable[[T], int],
        drop: Callable[[], object],
    ) -> None:
        self._endpoint = endpoint
        self._sender = sender
        self._task = task
        self._config = config
        self._size_of = size_of
        self._drop = drop
        self._loop = asyncio.get_running_loop()
        self._wanted: dict[tuple[str, bool], Wanted[T]] = {}
        self._under_way = 0  # calls
        self._places = 0  # that are held by calls
        self._waiting: OrderedDict[Caller[T], None] = OrderedDict()  # those with texts to be sent
        self._next: SharedCall[T] | None = None  # one that waits for the rate limit
        self._starts = False  # whether the event loop is going to start calls

    def results(self, texts: Sequence[Text], deadline: Deadline) -> Coroutine[Any, Any, list[T]]:
        if self._may_go_alone(texts):
            return self._alone(texts, deadline)
        return self._together(texts, deadline)

    # --- a request that makes a call of its own

    def _may_go_alone(self, texts: Sequence[Text]) -> bool:
        """Whether they may be sent by themselves; their call counts as having left."""
        return (
            not self._under_way
            and not self._waiting
            and self._fits(texts)
            and not any(_key(text) in self._wanted for text in texts)
            and self._sender.take_turn(self._endpoint)
        )

    def _fits(self, texts: Sequence[Text]) -> bool:
        sizes = self._sender.sizes(self._endpoint)
        return fit(texts, sizes.inputs, sizes.bytes)

    async def _alone(self, texts: Sequence[Text], deadline: Deadline) -> list[T]:
        mine: list[Wanted[T]] = [Wanted(text, _key(text)) for text in texts]
        call: Call[T] = Call(current())
        for wanted in mine:
            self._wanted[wanted.key] = wanted
            call.add(wanted)
        call.begin(_UNANSWERED, self._late)
        self._take_place()
        try:
            results = await self._sender.send(
                self._endpoint, self._task, Batch(list(texts)), deadline
            )
            for wanted, result in zip(mine, results, strict=True):
                self._finish(wanted, result)
            return results
        except ProxyError as error:
            others = len(mine) == 1 or not may_be_of_one_text(error)
            if others and not isinstance(error, _OWN):
                self._fail(call.own(mine), error)
            raise
        finally:
            for wanted in call.own(mine):  # others may want what has no result
                if wanted.callers:
                    self._wait_again(wanted)
                else:
                    self._forget(wanted)
            self._end_call(call)

    # --- one that shares calls

    async def _together(self, texts: Sequence[Text], deadline: Deadline) -> list[T]:
        self._start_soon()  # which forgets a line that is refused its first caller
        self._sender.check_room(self._endpoint, len(self._waiting))
        caller: Caller[T] = Caller(deadline, self._loop.create_future())
        mine = [self._want(text, caller) for text in texts]
        caller.missing = len(caller.results)
        brings_none = not caller.texts
        if caller.texts:
            self._waiting[caller] = None
        try:
            if brings_none:
                await confirm()  # else the call that has its texts does
            await caller.done
        finally:
            if caller.missing:
                current().waits += self._waits_of(caller)
            if caller.missing or caller.is_served:  # else nothing of it is left
                self._leave(caller)
        results = [caller.results[wanted] for wanted in mine]
        found = [result for result in results if result is not None]
        reserve(sum(map(self._size_of, found)))
        return found

    def _waits_of(self, caller: Caller[T]) -> list[Advice]:
        """What the calls that are to bring its results wait for, besides answers."""
        calls = {one.call for one, result in caller.results.items() if result is None}
        if caller in self._waiting:
            calls.add(self._next)
        return [advice for call in calls if call for advice in call.lateness.waits]

    def _want(self, text: Text, caller: Caller[T]) -> Wanted[T]:
        wanted = self._wanted.get(key := _key(text))
        if wanted is None or wanted in caller.results:  # it repeats itself: that is its business
            wanted = self._wanted[key] = Wanted(text, key)
            caller.texts.append(wanted)
        wanted.callers[caller] = None
        caller.results[wanted] = None
        if wanted.call is not None and not wanted.call.has_place:
            self._wait_again(wanted)
        return wanted

    def _leave(self, caller: Caller[T]) -> None:
        """The caller wants nothing more; what others want, too, is left to them."""
        self._waiting.pop(caller, None)
        unsent, caller.texts = caller.texts, deque()
        for wanted in caller.results:
            if wanted.callers.pop(caller, self) is not self and not wanted.callers:
                self._forget(wanted)
        for wanted in unsent:
            if wanted.callers:
                self._wait_again(wanted)
        for call in list(caller.calls):
            if not call.is_of_use:
                self._give_up(call)
        if self._next is not None and not self._waiting:
            self._next.task.cancel()

    def _give_up(self, call: SharedCall[T]) -> None:
        for wanted in call.own(call.texts):
            if wanted.callers:
                self._wait_again(wanted)
        call.texts = []
        call.task.cancel()

    def _wait_again(self, wanted: Wanted[T]) -> None:
        self._wanted[wanted.key] = wanted
        wanted.call = None
        caller = next(iter(wanted.callers))
        caller.texts.append(wanted)
        self._waiting[caller] = None

    # --- outcomes

    def _finish(self, wanted: Wanted[T], result: T) -> None:
        callers, wanted.callers = wanted.callers, {}
        self._forget(wanted)
        for caller in callers:
            caller.take(wanted, result)

    def _fail(self, texts: Iterable[Wanted[T]], error: BaseException) -> None:
        for wanted in texts:
            for caller in list(wanted.callers):
                caller.fail(error)
                self._leave(caller)

    def _forget(self, wanted: Wanted[T]) -> None:
        if self._wanted.get(wanted.key) is wanted:
            del self._wanted[wanted.key]

    # --- shared calls

    def _start_soon(self) -> None:
        """Start calls, once everybody has been heard who comes by the next turn of the event loop.

        Between the two it looks at connections, without waiting: what was sent at the same time is
        rarely read in one turn.
        """
        if self._places < self._config.concurrency and not self._starts:
            self._starts = True
            self._loop.call_soon(self._loop.call_soon, self._start_calls)

    def _start_calls(self) -> None:
        """As many as there are texts for; where the rate limit has to be waited for, one."""
        self._starts = False
        while self._waiting and self._places < self._config.concurrency and not self._next:
            context = next(iter(self._waiting)).context.copy()
            call: SharedCall[T] = SharedCall(self._leave)
            self._take_place()
            if self._sender.take_turn(self._endpoint):
                self._fill(call)
            else:
                self._next = call
            call.task = self._loop.create_task(self._make(call), context=context)
            call.task.add_done_callback(partial(self._made, call))
        if not self._under_way and not self._waiting:
            self._drop()

    def _fill(self, call: SharedCall[T]) -> None:
        """Put as many texts into a call as fit, which is sent now."""
        self._fill_in_turn(call)
        call.begin(_UNANSWERED, self._late)

    def _fill_in_turn(self, call: SharedCall[T]) -> None:
        """A share of each caller's texts, in turn."""
        sizes = self._sender.sizes(self._endpoint)
        size, most, most_bytes = 0, sizes.inputs, sizes.bytes
        while self._waiting and len(call.texts) < most:
            caller, _ = self._waiting.popitem(last=False)
            share = max(1, (most - len(call.texts)) // (len(self._waiting) + 1))
            while caller.texts and share:
                size += length_of(caller.texts[0].text)
                if size > most_bytes and call.texts:
                    self._waiting[caller] = None
                    self._waiting.move_to_end(caller, last=False)
                    return
                wanted = caller.texts.popleft()
                if wanted.callers:  # else its result has come by an earlier call
                    call.add(wanted)
                    share -= 1
            if caller.texts:
                self._waiting[caller] = None

    async def _make(self, call: SharedCall[T]) -> None:
        begin(call.lateness)
        if call is self._next:
            await self._sender.turn(self._endpoint)
            self._next = None
            self._fill(call)  # with what has come meanwhile, too
            self._start_calls()
        with apart(), held(call):
            await self._send(call, call.texts)

    async def _send(self, call: SharedCall[T], texts: list[Wanted[T]]) -> None:
        """Send those of the texts that are still wanted; tell all who want them what came of it."""
        while texts := [one for one in call.own(texts) if one.callers]:
            deadlines = [caller.deadline for wanted in texts for caller in wanted.callers]
            batch = Batch([wanted.text for wanted in texts])
            last = max(deadlines, key=_END)
            try:
                results = await self._sender.send(self._endpoint, self._task, batch, last)
            except Changed:
                continue
            except ProxyError as error:
                await self._refused(call, texts, error)
                return
            for wanted, result in zip(texts, results, strict=True):
                self._finish(wanted, result)
            return

    async def _refused(
        self, call: SharedCall[T], texts: list[Wanted[T]], error: ProxyError
    ) -> None:
        texts = call.own(texts)
        alike = all(wanted.callers == texts[0].callers for wanted in texts)
        if alike or not may_be_of_one_text(error):
            self._fail(texts, error)
            return
        forget_frames(error)  # nobody will see it
        middle = len(texts) // 2
        for half in (texts[:middle], texts[middle:]):
            await self._sender.turn(self._endpoint)
            await self._send(call, half)

    def _made(self, call: SharedCall[T], task: asyncio.Task[None]) -> None:
        if call is self._next:
            self._next = None
        left = [caller for wanted in call.own(call.texts) for caller in wanted.callers]
        for caller in left:  # none, but for a fault, or when the process stops
            if task.cancelled() or (error := task.exception()) is None:
                caller.done.cancel()
            else:
                caller.fail(error)
        self._end_call(call)

    # --- how many calls there may be

    def _take_place(self) -> None:
        self._under_way += 1
        self._places += 1

    def _late(self, call: Call[T]) -> None:
        """A call is not answered: another one may have its place.

        Those who share it go on waiting, as each would for a call of its own. But who joined it
        later has its texts sent again, and whoever comes from now on.
        """
        for wanted in call.own(call.texts):
            if wanted.is_joined:
                self._wait_again(wanted)
        self._leave_place(call)

    def _end_call(self, call: Call[T]) -> None:
        call.end()
        self._under_way -= 1
        self._leave_place(call)

    def _leave_place(self, call: Call[T]) -> None:
        if call.has_place:
            call.has_place = False
            self._places -= 1
        self._start_calls()


def _key(text: Text) -> tuple[str, bool]:
    return text.text, text.is_truncated
