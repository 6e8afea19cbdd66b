"""The states of the lane's two machines, and how long each may last."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Final


class CallerState(enum.Enum):
    """What a caller's connection is doing."""

    HEAD = enum.auto()  # a request head is awaited, or a part of one has come
    BODY = enum.auto()  # the head has gone upstream, and the body follows as it comes
    ANSWER = enum.auto()  # the whole request has gone upstream; its answer is awaited or under way
    REST = enum.auto()  # the answer came before the end of the body, whose rest is dropped
    LINGER = enum.auto()  # our last byte is written; what still comes is dropped until it closes


class UpstreamState(enum.Enum):
    """What a connection to a node, or to the application, is doing."""

    CONNECTING = enum.auto()  # there is no connection yet: what is to be sent waits
    ASKED = enum.auto()  # a request goes out, and the head of its answer is awaited
    ANSWERING = enum.auto()  # the body of the answer is being passed back
    IDLE = enum.auto()  # it serves nobody, and lies in its pool


# As globals, because they are compared for every read: an attribute of an Enum costs three times
# as much.
HEAD, BODY, ANSWER, REST, LINGER = CallerState
CONNECTING, ASKED, ANSWERING, IDLE = UpstreamState

NEVER: Final = math.inf
BODY_RATE: Final = 100  # bytes per second that a body must bring, over `Patience.body`
INTERIM_LIMIT: Final = 32  # answers 1xx to one request; servers send one or two
HELD_LIMIT: Final = 64 * 1024  # bytes of pipelined requests, or of a request kept for a retry


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long the lane waits, in seconds; the defaults are those of a running proxy."""

    body: float = 60.0  # for a body to bring BODY_RATE bytes for each of these seconds
    reader: float = 300.0  # for a caller who does not read its answer
    half_closed: float = 1.0  # for the next bytes of the answer to a caller who closed its side
    linger: float = 5.0  # for a caller to close after our last byte, or to end an answered body
    answer: float = NEVER  # for the next bytes of the upstream's answer
    idle: float = 30.0  # that an upstream connection stays in its pool
    queue: float = 10.0  # for an upstream connection, when all are in use
