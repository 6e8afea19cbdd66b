"""What each inference endpoint has done and used, as far as this process has called it.

Kept in memory for so many endpoints; those that were called longest ago make room for others, and
what they have used is added to the rest. In figures only so many endpoints bear a name, as ids are
chosen by callers.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Final, NamedTuple

from proxy.config import NO_PRICES, Prices
from proxy.ground.advice import Advice

OK: Final = "ok"
UNKNOWN: Final = "unknown"
_MOST: Final = 1000  # endpoints
_MOST_GONE: Final = 100  # endpoints that were forgotten last, whose calls may be under way
_PER_MILLION: Final = 1e-6


@dataclass(slots=True)
class Usage:
    """What calls to a provider have taken, added up."""

    calls: int = 0  # repeated ones, too
    errors: int = 0  # calls that failed, however often each was repeated
    input_tokens: int = 0  # as far as the provider counts them
    output_tokens: int = 0
    cost: float = 0.0  # of the tokens, by the configured prices
    characters: int = 0  # of the texts that were sent
    queue_seconds: float = 0.0  # that calls have waited for the rate limit, or a busy server
    provider_seconds: float = 0.0  # until the last byte of each reply
    provider_queue_seconds: float = 0.0  # of these, in the provider's own queue, if it tells
    compute_seconds: float = 0.0  # and at its model
    outcomes: Counter[str] = field(default_factory=Counter)  # calls, by the state they told of

    def failed(self, state: str) -> None:
        """Count a call that has failed, by the state that it told of."""
        self.errors += 1
        self.outcomes[state] += 1

    def add(self, other: Usage) -> None:
        for name in FIGURES:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.outcomes.update(other.outcomes)


FIGURES: Final = tuple(entry.name for entry in fields(Usage) if entry.name != "outcomes")


class Tokens(NamedTuple):
    """Of texts that were sent, and of those that came back."""

    input: int
    output: int = 0


@dataclass(slots=True)
class LastError:
    """The last call that failed; `at` is the time of the clock on the wall."""

    advice: Advice
    at: float


@dataclass(slots=True)
class Endpoint:
    """An endpoint as this process knows it."""

    inference_id: str
    task: str
    state: str = UNKNOWN
    since: float = 0.0  # the time of the first call that told of this state
    last_call: float = 0.0
    last_error: LastError | None = None
    usage: Usage = field(default_factory=Usage)
    has_name: bool = False  # in figures
    has_other_model: bool = False  # than at first, as the guard of models has found


@dataclass(frozen=True, slots=True)
class Change:
    """A change of an endpoint's state."""

    before: str
    seconds: float  # that the state before has lasted


class Endpoints:
    """The endpoints by id, the one that was called last at the end."""

    def __init__(
        self,
        named: int = 100,
        prices: Prices = NO_PRICES,
        *,
        most: int = _MOST,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._named = named
        self._prices = prices
        self._most = most
        self._clock = clock
        self._known: OrderedDict[str, Endpoint] = OrderedDict()
        self._with_name = 0
        self._rest: dict[str, Usage] = {}  # of endpoints that are not known any more, by task
        self._gone: deque[tuple[str, Usage]] = deque()  # of some of these, as calls may add to it

    def of(self, inference_id: str, task: str) -> Endpoint:
        """The endpoint, which is about to be called or was."""
        found = self._known.get(inference_id)
        if found is not None and found.task == task:
            self._known.move_to_end(inference_id)
            return found
        if found is not None:  # deleted, and created anew for another task
            self.forget(inference_id)
        if len(self._known) >= self._most:
            self.forget(next(iter(self._known)))
        found = Endpoint(inference_id, task, has_name=self._with_name < self._named)
        self._with_name += found.has_name
        self._known[inference_id] = found
        return found

    def rest_of(self, task: str) -> Usage:
        """What endpoints of that task have used that are not known: deleted, or not stored yet."""
        return self._rest.setdefault(task, Usage())

    def forget(self, inference_id: str) -> None:
        """Count what it has used with the rest from now on, and know it no more."""
        if (dropped := self._known.pop(inference_id, None)) is not None:
            self._with_name -= dropped.has_name
            self._gone.append((dropped.task, dropped.usage))
        while len(self._gone) > _MOST_GONE:
            task, usage = self._gone.popleft()
            self.rest_of(task).add(usage)

    def succeeded(self, endpoint: Endpoint) -> Change | None:
        """A call has succeeded; what that has changed, if more than nothing was known before."""
        endpoint.last_call = self._clock()
        endpoint.usage.outcomes[OK] += 1
        return self._is_now(endpoint, OK)

    def failed(self, endpoint: Endpoint, advice: Advice, state: str) -> Change | None:
        """A call has failed, after which the endpoint's state is `state`; what that has changed."""
        endpoint.usage.failed(advice.state)
        return self.troubled(endpoint, advice, state)

    def troubled(self, endpoint: Endpoint, advice: Advice, state: str) -> Change | None:
        """The same of a request, whose calls are counted otherwise."""
        endpoint.last_call = self._clock()
        endpoint.last_error = LastError(advice, endpoint.last_call)
        return self._is_now(endpoint, state)

    def _is_now(self, endpoint: Endpoint, state: str) -> Change | None:
        before = endpoint.state
        if state == before:
            return None
        lasted = endpoint.last_call - endpoint.since
        endpoint.state, endpoint.since = state, endpoint.last_call
        return None if (before, state) == (UNKNOWN, OK) else Change(before, lasted)

    def count_tokens(self, inference_id: str, usage: Usage, tokens: Tokens) -> None:
        """Add tokens, and what they cost, to what an endpoint has used."""
        usage.input_tokens += tokens.input
        usage.output_tokens += tokens.output
        if (price := self._prices.of(inference_id)) is not None:
            cost = tokens.input * price.input + tokens.output * price.output
            usage.cost += cost * _PER_MILLION

    def known(self) -> Sequence[Endpoint]:
        """All that are known, by id."""
        return sorted(self._known.values(), key=lambda endpoint: endpoint.inference_id)

    def others(self) -> dict[str, Usage]:
        """What all that are not known have used together, by task."""
        found: defaultdict[str, Usage] = defaultdict(Usage)
        for task, usage in (*self._rest.items(), *self._gone):
            found[task].add(usage)
        return dict(found)

    @property
    def has_prices(self) -> bool:
        """Whether the prices of some tokens are configured."""
        return bool(self._prices)
