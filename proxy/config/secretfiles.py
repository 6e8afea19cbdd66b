"""Files that hold secrets: who may write to them, and whom the operator is warned of.

Kubernetes and Docker mount secrets as files of another user that this process reads as a member of
a group, or like everybody. What counts is that nobody can put another secret in their place.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from proxy.config.checking import ConfigError
from proxy.config.values import Config


def read_secret(key: str, path: Path, limit: int) -> bytes:
    """The first `limit` bytes of the file that the setting `key` names.

    Raises: ConfigError if it cannot be read, or others can write to it.
    """
    try:
        with path.open("rb") as file:
            refuse_other_writers(key, path, os.fstat(file.fileno()))
            return file.read(limit)
    except OSError as error:
        raise ConfigError(f"[{key}] cannot read [{path}]: {error.strerror}") from None


def refuse_other_writers(key: str, path: Path, found: os.stat_result) -> None:
    """Check a file or folder that the setting `key` names; `found` is its status.

    Raises: ConfigError if others than root, this process's user and its groups can write to it.
    """
    if os.name != "posix":
        return
    writer = other_writer(found, os.geteuid(), {os.getegid(), *os.getgroups()})
    if writer is not None:
        who, remedy = writer
        raise ConfigError(f"[{key}] [{path}] can be written by {who}: chmod {remedy} {path}")


def other_writer(
    found: os.stat_result, user: int, groups: Collection[int]
) -> tuple[str, str] | None:
    """Who can write to a file beside root, `user` and `groups`, and the mode that ends it.

    To root, the owner of a file is no other: root often works with a service's files.
    """
    if found.st_mode & stat.S_IWOTH:
        return "every user", "o-w"
    if found.st_mode & stat.S_IWGRP and found.st_gid not in groups:
        return f"the group [{found.st_gid}], which is not the proxy's", "g-w"
    if found.st_mode & stat.S_IWUSR and user != 0 and found.st_uid not in (0, user):
        return f"the user [{found.st_uid}], who is neither root nor the proxy's", "u-w"
    return None


def readable_by_all(config: Config) -> Iterator[str]:
    """A warning for each secret file that every user of the machine can read."""
    for key, path in _secret_files(config):
        try:
            mode = path.stat().st_mode
        except OSError:
            continue  # whoever needs the file says what is wrong with it
        if os.name == "posix" and mode & stat.S_IROTH:
            yield f"[{key}] [{path}] can be read by every user of this machine: chmod o-r {path}"


def private_key_file(
    section: str, certificate: Path | None, key: Path | None
) -> Iterator[tuple[str, Path]]:
    """The setting and the file of a section's private key; nothing if it has none."""
    if key is not None:
        yield f"{section}.key", key
    elif certificate is not None:
        yield f"{section}.certificate", certificate


def _secret_files(config: Config) -> Iterator[tuple[str, Path]]:
    store = config.store
    if store.encryption_key_file is not None:
        yield "store.encryption_key_file", store.encryption_key_file
    if store.previous_key_file is not None:
        yield "store.previous_key_file", store.previous_key_file
    if config.store_kind.startswith("sqlite:"):
        yield "store.kind", Path(config.store_kind.removeprefix("sqlite:")).expanduser()
    yield from private_key_file("tls", config.tls.certificate, config.tls.key)
    yield from private_key_file("upstream", config.upstream.certificate, config.upstream.key)
