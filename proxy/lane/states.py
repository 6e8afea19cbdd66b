"""The states of a connection, and how long each may last."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Final

State = enum.Enum("State", ("HEAD", "BODY", "ANSWER", "REST", "LINGER", "CONNECTING", "IDLE"))
# As globals: an attribute of an Enum costs three times as much, and these are compared all day.
HEAD, BODY, ANSWER, REST, LINGER, CONNECTING, IDLE = State

NEVER: Final = math.inf
BODY_RATE: Final = 100  # bytes per second that a body must bring, over `Patience.body`
HELD_LIMIT: Final = 64 * 1024  # bytes of pipelined requests, or of a request kept for a retry


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long the lane waits, in seconds, where the configuration does not say."""

    body: float = 60.0  # for a body to bring BODY_RATE bytes for each of these seconds
    reader: float = 300.0  # for a caller who does not read its answer
    half_closed: float = 1.0  # for the next bytes of the answer to a caller who has closed its side
    linger: float = 5.0  # for a caller to close after our last byte, or to end an answered body
    answer: float = NEVER  # for the next bytes of the upstream's answer
    idle: float = 30.0  # that an upstream connection stays in the pool
    queue: float = 10.0  # for an upstream connection, when all are in use
