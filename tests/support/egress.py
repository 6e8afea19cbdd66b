"""Rules of where calls may go."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from proxy.config import EgressConfig
from proxy.huggingface.egress import EgressRules


def egress_rules(
    config: EgressConfig,
    *,
    upstream: Iterable[str] = (),
    listeners: Iterable[str] = (),
    clock: Callable[[], float] = time.monotonic,
) -> EgressRules:
    """The rules of a proxy without an upstream and without listeners, if none are given."""
    return EgressRules(config, upstream=upstream, listeners=listeners, clock=clock)
