"""Where encryption keys come from: settings, files, or a file that the first start makes."""

from __future__ import annotations

import base64
import binascii
import logging
import os
from collections.abc import Collection
from pathlib import Path
from typing import Final

from proxy.config import ConfigError, StoreConfig, read_secret
from proxy.ground.errors import KeyMismatch
from proxy.store.ownerfiles import private_folder, write_once
from proxy.store.sealed import Keyring

KEY_BYTES: Final = 32
_MAX_FILE: Final = 4096  # bytes read of a key file

log = logging.getLogger(__name__)


def load_keyring(config: StoreConfig, generated: Path) -> Keyring | None:
    """The configured keys, or the one in the file `generated`; None if there is neither.

    Raises: ConfigError.
    """
    current = _configured("encryption_key", config.encryption_key, config.encryption_key_file)
    previous = _configured("previous_key", config.previous_key, config.previous_key_file)
    if current is None and generated.exists():
        current = _read_key("encryption_key_file", generated)
    if current is None:
        if previous is not None:
            raise ConfigError("[store.previous_key] needs [store.encryption_key] beside it")
        return None
    return Keyring(current) if previous is None else Keyring(current, previous)


def make_keyring(generated: Path, held: Collection[str], store: str) -> Keyring:
    """A new key, written to the file `generated`; the key in it, if another process was faster.

    `held` are the ids of the keys that the records in the store are sealed with. Raises:
    KeyMismatch if there are any, as a new key could not open them; ConfigError.
    """
    check_nothing_is_held(generated, held, store)
    try:
        private_folder("store.encryption_key", generated.parent)
        if write_once(generated, base64.b64encode(os.urandom(KEY_BYTES)) + b"\n"):
            log.warning("made a new encryption key at [%s]: keep a copy of it", generated)
    except OSError as error:
        raise ConfigError(f"cannot write [{generated}]: {error.strerror}") from None
    return Keyring(_read_key("encryption_key_file", generated))


def check_nothing_is_held(generated: Path, held: Collection[str], store: str) -> None:
    """Raises: KeyMismatch where no key is at hand, and there are records."""
    if held:
        raise KeyMismatch(
            f"the store [{store}] holds inference endpoints sealed with the key "
            f"[{', '.join(sorted(held))}], but no key is at hand: set [store.encryption_key], or "
            f"put the key file back at [{generated}]"
        )


def key_in(folder: Path) -> Path:
    """The file of the key that is made for a store in Elasticsearch."""
    return folder / "encryption.key"


def key_beside(database: Path) -> Path:
    """The file of the key that is made for an SQLite file."""
    return database.with_name(f"{database.name}.key")


def _configured(name: str, text: str | None, file: Path | None) -> bytes | None:
    if text is not None and file is not None:
        raise ConfigError(f"[store.{name}] and [store.{name}_file] exclude each other")
    if file is not None:
        return _read_key(f"{name}_file", file)
    return None if text is None else _parse_key(f"store.{name}", text.strip())


def _read_key(name: str, path: Path) -> bytes:
    content = read_secret(f"store.{name}", path, _MAX_FILE)
    text = content.strip()
    if len(content) == KEY_BYTES and not text.isascii():
        return content
    return _parse_key(f"store.{name}", text.decode("ascii", "replace"))


def _parse_key(name: str, text: str) -> bytes:
    """32 bytes from 64 hex digits or base64, which may be of the URL-safe alphabet, unpadded."""
    try:
        if len(text) == 2 * KEY_BYTES:
            key = bytes.fromhex(text)
        else:
            standard = text.rstrip("=").replace("-", "+").replace("_", "/")
            key = base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigError(
            f"[{name}] must be 32 random bytes in base64 or hex: openssl rand -base64 32"
        )
    return key
