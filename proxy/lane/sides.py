"""What each part of the lane may touch of the others.

A caller's connection, the upstream connection that serves it, its pool and the lane all hold each
other. They know each other by these Protocols only, which name every field and method that one
uses of another; the rest of a class is its own business. Nobody writes another's field.

The classes satisfy them by their shape alone, so that nothing is paid for it at run time. Fields
are read where a method would cost a call for each request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from proxy.config import LimitsConfig
from proxy.ground.errors import ProxyError, UpstreamTimedOut
from proxy.ground.interception import Interception
from proxy.ground.steps import Steps
from proxy.http1 import AnswerHead, Forwarding, Parsers, RequestHead
from proxy.lane.held import Held
from proxy.lane.states import CallerState, Patience, UpstreamState
from proxy.upstream.nodes import Node


class Caller(Protocol):
    """A caller's connection, as whoever answers its request sees it."""

    @property
    def transport(self) -> asyncio.Transport:
        """Answers are written to it directly."""

    @property
    def state(self) -> CallerState: ...

    @property
    def request(self) -> RequestHead | None:
        """The request under way."""

    @property
    def keep_alive(self) -> bool:
        """Whether another request may follow on the connection."""

    @property
    def full(self) -> bool:
        """Whether the transport takes no more writes."""

    @property
    def second_look(self) -> bool:
        """Whether its request, if it is refused, may still be one for the application."""

    @property
    def steps(self) -> Steps:
        """Where work is put off."""

    @property
    def deadline(self) -> float:
        """When what is awaited has to have happened; NEVER where nothing bounds it."""

    def note_held(self) -> None:
        """More is kept for its request than before."""

    def served_by(self, upstream: Upstream) -> None:
        """Another connection serves the request from now on."""

    def taken_back(self, sent: bytes) -> Connection | None:
        """Who answers the request `sent`, which was refused; None if the refusal stands."""

    def pause_body(self) -> None:
        """Take no more of a body, however long it is before the upstream takes more."""

    def resume_body(self) -> None:
        """Take more of a body, and expect it in time again."""

    def await_answer(self) -> None:
        """Expect the next bytes of the answer in time, counted from now."""

    def pass_interim(self, head: AnswerHead) -> None:
        """Pass a 1xx answer on."""

    def begin_answer(self, head: AnswerHead) -> bytes:
        """The head of the final answer as this caller has to get it; the body follows."""

    def answer_ended(self) -> None:
        """The last byte of the answer has been written."""

    def fail(self, error: ProxyError) -> None:
        """There is no answer but this error; nor can there be, where one had begun."""

    def cut(self) -> None:
        """Reset the connection: the answer cannot be finished."""


class Upstream(Protocol):
    """A connection to whoever answers, as the caller sees it."""

    @property
    def takes_more(self) -> bool:
        """Whether more of the body may be sent now."""

    @property
    def held(self) -> int:
        """Bytes that are kept of the request and its answer."""

    def start(self, caller: Caller, data: bytes) -> None:
        """Serve the caller, whose request begins with `data`."""

    def send(self, data: bytes) -> None:
        """Send a further part of the request's body."""

    def pause_reading(self) -> None:
        """Read no more of the answer for now."""

    def resume_reading(self) -> None:
        """Read more of the answer."""

    def drop(self) -> None:
        """Close the connection: nobody wants what still comes on it."""

    def late_answer(self) -> ProxyError | None:
        """What to tell the caller when no answer came in time; None if time does not matter."""


class Connection(Upstream, Protocol):
    """A connection to whoever answers, as its pool and the other connections see it."""

    @property
    def pool(self) -> Pool: ...

    @property
    def state(self) -> UpstreamState: ...

    @property
    def since(self) -> float:
        """When it became idle, or was made."""

    def take_over(self, caller: Caller, data: bytes, tried: tuple[Pool, ...]) -> None:
        """Serve the caller of another connection.

        `data` is its request so far; `tried` has the nodes that have failed it.
        """


class Connections(Protocol):
    """Where a caller gets a connection from: one node's pool, a cluster's, the application's."""

    def take(self) -> Connection: ...


class Pool(Protocol):
    """The connections to one node, or to the application, as each of them sees it."""

    @property
    def node(self) -> Node: ...

    @property
    def has_others(self) -> bool:
        """Whether other nodes can answer what this one can."""

    def connect(self) -> Connection:
        """A new connection to the same node."""

    def take_other(self, tried: tuple[Pool, ...], *, live: bool) -> Connection | None:
        """A connection to another node; None if there is none left to try."""

    def put(self, side: Connection) -> None:
        """Take back a connection that has become idle."""

    def retire(self, side: Connection) -> None:
        """Give a connection to nobody any more."""

    def forget(self, side: Connection) -> None:
        """A connection is closed."""

    def fill_up(self) -> None:
        """Begin connections for requests that wait for one."""

    def look_into(self, what: str, tell: Callable[[ProxyError], None]) -> bool:
        """Whether there may be more to tell of a node that did `what` instead of answering.

        If so, `tell` gets the error once that is known.
        """

    def late_answer(self) -> UpstreamTimedOut | None:
        """As `Upstream.late_answer`."""


class Lane(Protocol):
    """The lane, as a caller's connection sees it."""

    @property
    def limits(self) -> LimitsConfig: ...

    @property
    def patience(self) -> Patience: ...

    @property
    def parsers(self) -> Parsers: ...

    @property
    def steps(self) -> Steps:
        """Where connections put off what takes long."""

    @property
    def held(self) -> Held:
        """The memory that callers take."""

    @property
    def forwarding(self) -> Forwarding: ...

    @property
    def interception(self) -> Interception:
        """Which requests the application answers."""

    @property
    def application(self) -> Connections: ...

    @property
    def upstream(self) -> Connections: ...

    @property
    def draining(self) -> bool:
        """Whether no further request is taken."""

    @property
    def keepalive_deadline(self) -> float:
        """Until when a caller that becomes idle now may stay so."""

    def caller_left(self) -> None:
        """A caller's connection is closed."""
