"""When requests run out of time."""

from __future__ import annotations

import math
from contextvars import ContextVar

# When the request under way will have run out of time, by `time.monotonic`.
request_ends: ContextVar[float] = ContextVar("request_ends", default=math.inf)
