"""The configuration as it may be shown."""

from __future__ import annotations

import re
from operator import attrgetter
from typing import Any, Final

from proxy.config.keys import Key
from proxy.config.values import KEYS, Config

_MASK: Final = "********"


def describe(config: Config) -> dict[str, Any]:
    """Every key in force with its value, secrets masked: what `check` prints."""
    return {name: _masked(key, attrgetter(name)(config)) for name, key in KEYS.items()}


def _masked(key: Key, value: Any) -> Any:
    if value is None:
        return None
    if key.secret:
        return _MASK
    if key.may_hold_password:
        return re.sub(r"//.*@", f"//{_MASK}@", value)
    return value
