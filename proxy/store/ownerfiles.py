"""Files and folders that the proxy makes for itself: they are their owner's alone."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from proxy.config import ConfigError, refuse_other_writers


def private_folder(key: str, folder: Path) -> None:
    """Make the folder of the file that the setting `key` names, for its owner alone.

    Raises: OSError; ConfigError if it exists and others can write to it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    if found.st_mode & stat.S_ISVTX:
        return  # nobody can replace another's files
    try:
        refuse_other_writers(key, folder, found)
    except ConfigError as error:
        hint = "or name a folder in it that does not exist: the proxy makes it for itself alone"
        raise ConfigError(f"{error}, {hint}") from None


def check_can_be_made(key: str, path: Path) -> None:
    """Raises: ConfigError if the file of the setting `key` is not there, and could not be made."""
    folder = next(parent for parent in path.parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        reason = "cannot be written to" if folder.is_dir() else "is no folder"
        raise ConfigError(f"[{key}] [{path}] cannot be made: [{folder}] {reason}")
    if folder == path.parent:
        private_folder(key, folder)  # which only checks it, as it is there


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
