"""Files and folders that are their owner's alone."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from proxy.config import ConfigError


def is_open_to_others(mode: int) -> bool:
    """Whether a file of this mode is more than its owner's; modes mean nothing on Windows."""
    return os.name == "posix" and mode & 0o077 != 0


def private_folder(folder: Path) -> None:
    """Make the folder, for its owner alone.

    Raises: OSError; ConfigError if it exists and others can write to it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    mode = folder.stat().st_mode
    if os.name == "posix" and mode & 0o022 and not mode & stat.S_ISVTX:
        raise ConfigError(f"[{folder}] must not be writable by others: chmod go-w {folder}")


def write_once(path: Path, content: bytes) -> bool:
    """Make the file unless it exists; whether this call made it.

    It appears with all its content, however many processes try at once. Raises: OSError.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        path.hardlink_to(draft)  # unlike a rename, this replaces nothing
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True
