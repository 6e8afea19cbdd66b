"""Callers that change and read endpoints concurrently, and record the answers."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientHandlerType,
    ClientRequest,
    ClientResponse,
    ClientSession,
)

from tests.support.stubs import Call, Reply, json_reply
from tests.torture.history import Kind, Operation, Outcome, Record

TASKS: Final = ("rerank", "text_embedding")
# How often each endpoint of a task is changed, relative to the others.
_CHANGES: Final = (27, 9, 3, 1)
IDS: Final = tuple(f"{task}-{n}" for task in TASKS for n in range(len(_CHANGES)))
NONSENSE: Final = Record(-1, (-1,))  # what is shown was never sent
FIRST_NUMBER: Final = 10  # numbers become `top_n`, which must not cut the two documents
_RATE: Final = 1_000_000  # requests per minute, plus the number: too many to limit anything
_OUTAGE: Final = 120.0  # seconds without any answer that are tolerated
_CHANGING: Final = {"create": 3, "update": 5, "delete": 2}
_READING: Final = {"read": 4, "use": 2, "list_all": 1, "list_task": 1}


def task_of(inference_id: str) -> str:
    return inference_id.rpartition("-")[0]


def answer_as_provider(call: Call) -> Reply:
    """A provider whose results contain the numbers in the URL and the token of the call."""
    born = float(call.path.rpartition("/")[2])
    token = float(call.headers["Authorization"].removeprefix("Bearer hf_"))
    if call.path.startswith("/rerank/"):
        scores = (token, born)[: len(call.json["texts"])]
        return json_reply([{"index": n, "score": score} for n, score in enumerate(scores)])
    return json_reply([[token, born] for _ in call.json["inputs"]])


# Bodies, and reading answers


def creation(task: str, provider: str, number: int) -> dict[str, Any]:
    """The body of a PUT that puts `number` into every field."""
    body = change(task, number)
    body["service_settings"]["url"] = f"{provider}/{task}/{number}"
    return {"service": "hugging_face", **body}


def change(task: str, number: int) -> dict[str, Any]:
    """The body of an `_update` that puts `number` into the token and two other fields."""
    limit = {"requests_per_minute": _RATE + number}
    settings: dict[str, Any] = {"api_key": f"hf_{number}", "rate_limit": limit}
    if task == "rerank":
        return {"service_settings": settings, "task_settings": {"top_n": number}}
    return {"service_settings": {**settings, "max_input_tokens": number}}


def record_of(shown: Any) -> Record:
    """The record that an answer shows of an endpoint."""
    match shown:
        case {
            "inference_id": str(inference_id),
            "task_type": str(task),
            "service_settings": {
                "url": str(url),
                "rate_limit": {"requests_per_minute": int(rate)},
                **settings,
            },
        } if task == task_of(inference_id) and f"/{task}/" in url:
            own = {**settings, **shown.get("task_settings", {})}
            mark = own.get("top_n" if task == "rerank" else "max_input_tokens")
            return Record(int(url.rpartition("/")[2]), (rate - _RATE, mark or -1))
    return NONSENSE


def record_used(result: Any) -> Record:
    """The record that was used to call the provider."""
    match result:
        case {"text_embedding": [{"embedding": [token, born]}]}:
            return Record(int(born), (int(token),))
        case {"rerank": [{}, {}] as ranked}:
            scores = {one["index"]: int(one["relevance_score"]) for one in ranked}
            return Record(scores[1], (scores[0],))
    return NONSENSE


class UnexpectedAnswer(AssertionError):
    """An answer that cannot be right in any of these tests."""


def outcome_of(kind: Kind, status: int, body: Any) -> Outcome:
    """What an answer says about its request. Raises: UnexpectedAnswer."""
    error = body.get("error") if isinstance(body, dict) else None
    error_type = error.get("type") if isinstance(error, dict) else None
    match kind, status, error_type:
        case _, 200, None:
            return Outcome.DONE
        case Kind.READ, 404, "resource_not_found_exception":
            return Outcome.DONE
        case Kind.DELETE, 404, "resource_not_found_exception":
            return Outcome.MISSING
        case Kind.UPDATE, 404, "status_exception":
            return Outcome.MISSING
        case Kind.CREATE, 400, "resource_already_exists_exception":
            return Outcome.EXISTS
        case Kind.UPDATE, 409, "status_exception":
            return Outcome.REFUSED
        case _, 500 | 502 | 503 | 504, str():
            return Outcome.UNKNOWN
    raise UnexpectedAnswer(f"{kind} was answered {status} {body}")


# Calling


class NoAnswer(Exception):
    """The connection was lost after a request was sent; it may or may not have arrived."""


async def once(request: ClientRequest, send: ClientHandlerType) -> ClientResponse:
    """A middleware that keeps aiohttp from silently repeating a PUT or DELETE.

    Raises: NoAnswer; ClientConnectorError if nothing was sent.
    """
    try:
        return await send(request)
    except ClientConnectorError:
        raise
    except (ClientError, OSError) as error:
        raise NoAnswer from error


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: Any
    is_stale: bool  # by its Warning header


@dataclass(slots=True, kw_only=True)
class Recorder:
    """Sends requests to randomly chosen proxies, and keeps the outcome of each."""

    session: ClientSession  # with the middleware `once`
    urls: Sequence[str]
    provider: str
    freshness: float  # seconds that the read of one endpoint may be stale
    lists_lag: bool  # whether a list need not show a change before it is acknowledged
    random: random.Random
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(FIRST_NUMBER))
    operations: list[Operation] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)  # answers with a status of 500 or more
    changing: asyncio.Event = field(default_factory=asyncio.Event)  # set whenever a change begins

    async def create(self, inference_id: str) -> bool:
        number, task = next(self.numbers), task_of(inference_id)
        body = creation(task, self.provider, number)
        return await self._change(Kind.CREATE, "PUT", inference_id, "", number, body)

    async def update(self, inference_id: str) -> bool:
        number = next(self.numbers)
        body = change(task_of(inference_id), number)
        return await self._change(Kind.UPDATE, "PUT", inference_id, "/_update", number, body)

    async def delete(self, inference_id: str) -> bool:
        number = next(self.numbers)
        return await self._change(Kind.DELETE, "DELETE", inference_id, "", number)

    async def read(self, inference_id: str) -> bool:
        return await self._read("GET", inference_id)

    async def use(self, inference_id: str) -> bool:
        """An inference, which shows the token."""
        is_rerank = task_of(inference_id) == "rerank"
        body = {"input": ["a", "b"], "query": "q"} if is_rerank else {"input": ["a"]}
        return await self._read("POST", inference_id, body)

    async def list_all(self, _: str) -> bool:
        return await self._list("/_inference/_all", IDS)

    async def list_task(self, inference_id: str) -> bool:
        task = task_of(inference_id)
        return await self._list(f"/_inference/{task}/_all", [one for one in IDS if task in one])

    async def _change(
        self,
        kind: Kind,
        method: str,
        inference_id: str,
        suffix: str,
        number: int,
        body: dict[str, Any] | None = None,
    ) -> bool:
        path = f"/_inference/{task_of(inference_id)}/{inference_id}{suffix}"
        self.changing.set()
        began, answer = await self._ask(method, path, body)
        outcome, shown = Outcome.UNKNOWN, None
        if answer is not None:
            outcome = outcome_of(kind, answer.status, answer.body)
            if outcome is Outcome.DONE and kind is not Kind.DELETE:
                shown = record_of(answer.body)
        self._keep(number, kind, inference_id, began, outcome, shown)
        return outcome is not Outcome.UNKNOWN

    async def _read(
        self, method: str, inference_id: str, body: dict[str, Any] | None = None
    ) -> bool:
        path = f"/_inference/{task_of(inference_id)}/{inference_id}"
        began, answer = await self._ask(method, path, body)
        if answer is None:
            return False
        outcome = outcome_of(Kind.READ, answer.status, answer.body)
        shown, staleness = None, 0.0  # a missing endpoint is never cached
        if answer.status == 200:
            got = answer.body
            shown = record_of(got["endpoints"][0]) if method == "GET" else record_used(got)
            staleness = math.inf if answer.is_stale else self.freshness
        number = next(self.numbers)
        self._keep(number, Kind.READ, inference_id, began, outcome, shown, staleness=staleness)
        return outcome is not Outcome.UNKNOWN

    async def _list(self, path: str, ids: Sequence[str]) -> bool:
        """Counts as one read of each id; an id that is not in the list does not exist."""
        began, answer = await self._ask("GET", path)
        if answer is None or outcome_of(Kind.READ, answer.status, answer.body) is not Outcome.DONE:
            return False
        number = next(self.numbers)
        found = {one["inference_id"]: record_of(one) for one in answer.body["endpoints"]}
        for inference_id in {*ids, *found}:
            shown = found.get(inference_id) if inference_id in ids else NONSENSE
            self._keep(
                number, Kind.READ, inference_id, began, Outcome.DONE, shown,
                listed=True, lags=self.lists_lag,
            )  # fmt: skip
        return True

    async def _ask(self, method: str, path: str, body: Any = None) -> tuple[float, Answer | None]:
        """When it was sent, and the answer; None if there was no complete one."""
        data = None if body is None else orjson.dumps(body)
        headers = {} if body is None else {"Content-Type": "application/json"}
        deadline = time.monotonic() + _OUTAGE
        while True:
            url = self.random.choice(self.urls) + path
            began = time.monotonic()
            try:
                async with self.session.request(method, url, data=data, headers=headers) as reply:
                    text = await reply.read()
            except ClientConnectorError:  # nothing was sent
                if began > deadline:
                    raise
                await asyncio.sleep(0.02)
                continue
            except (NoAnswer, ClientError, TimeoutError):
                return began, None
            if reply.status >= 500:
                self.errors.append(f"{method} {path}: {reply.status} {text.decode()}")
            is_stale = "known last" in reply.headers.get("Warning", "")
            return began, Answer(reply.status, orjson.loads(text), is_stale)

    def _keep(
        self,
        number: int,
        kind: Kind,
        inference_id: str,
        began: float,
        outcome: Outcome,
        shown: Record | None,
        **more: Any,
    ) -> None:
        self.operations.append(
            Operation(
                number=number,
                kind=kind,
                inference_id=inference_id,
                began=began,
                ended=time.monotonic(),
                outcome=outcome,
                shown=shown,
                **more,
            )
        )


async def call_until(stop: asyncio.Event, recorder: Recorder) -> None:
    """One caller: sends random requests, one after another, until `stop` is set."""
    while not stop.is_set():
        rng = recorder.random
        actions, ids = rng.choice([(_CHANGING, _CHANGES), (_READING, [1] * len(_CHANGES))])
        (name,) = rng.choices(list(actions), list(actions.values()))
        (inference_id,) = rng.choices(IDS, [*ids] * len(TASKS))
        if not await getattr(recorder, name)(inference_id):
            await answered(recorder)


async def answered(recorder: Recorder) -> None:
    """Only read, until a list is answered."""
    deadline = time.monotonic() + _OUTAGE
    while not await recorder.list_all(""):
        if time.monotonic() > deadline:
            raise TimeoutError(f"no list for {_OUTAGE:.0f} seconds: {recorder.errors[-1:]}")
        await recorder.read(recorder.random.choice(IDS))
        await asyncio.sleep(0.1)
