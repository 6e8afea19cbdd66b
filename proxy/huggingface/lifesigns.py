"""Whether another process has ended, which only those on the same machine can know.

What a process writes of itself is read by others, which see whether it is still there. On systems
without `/proc`, and of processes elsewhere, nothing is known.
Source: proc_pid_stat(5): the state is field 3, the time of the start field 22.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

_ENDED: Final = "ZX"  # states of a process that is only still listed


def life_sign() -> dict[str, Any] | None:
    """What this process tells of itself; None where that would say nothing."""
    machine, seen = _machine(), _seen(os.getpid())
    if machine is None or seen is None:
        return None
    return {"machine": machine, "pid": os.getpid(), "began": seen[1]}


def has_ended(sign: Mapping[str, Any] | None) -> bool:
    """Whether the process that has left the sign is certainly no more."""
    if sign is None or sign["machine"] != _machine():
        return False
    try:
        os.kill(sign["pid"], 0)
    except ProcessLookupError:
        return True
    except OSError:  # another user's
        return False
    seen = _seen(sign["pid"])
    return seen is not None and (seen[0] in _ENDED or seen[1] != sign["began"])


@cache
def _machine() -> str | None:
    """Where process ids mean the same: a boot of a machine, and a namespace there."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_bytes()
        namespace = Path("/proc/self/ns/pid").readlink()
    except OSError:
        return None
    return hashlib.sha256(boot + os.fsencode(namespace)).hexdigest()[:16]


def _seen(pid: int) -> tuple[str, str] | None:
    """State and time of the start."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # from field 3 on: the name may hold anything
    return fields[0], fields[19]
