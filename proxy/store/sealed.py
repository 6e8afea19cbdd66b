"""Endpoints sealed at rest: AES-256-GCM over the whole configuration, and where its keys come from.

A record is bound to its inference id and its key, so that nobody who can write to the store can
re-point somebody's token, read it, or pass one record off as another. Who can write can still
delete a record or put an older one back.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
import os
import stat
import tempfile
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from proxy.config import ConfigError, StoreConfig
from proxy.errors import KeyMismatch, RecordRefused
from proxy.inference.dumping import dump_endpoint, load_endpoint
from proxy.inference.endpoints import InferenceEndpoint, TaskType
from proxy.inference.ids import is_storable
from proxy.inference.ports import Listing

KEY_BYTES: Final = 32
FORMAT: Final = 1
_KEY_ID_BYTES: Final = 8
_NONCE_BYTES: Final = 12
_NONCE_AT: Final = 1 + _KEY_ID_BYTES
_BOX_AT: Final = _NONCE_AT + _NONCE_BYTES

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """An endpoint as a store holds it; what stands beside `blob` is there to be searched.

    `blob` is one byte of format version, 8 of key id, 12 of nonce, then ciphertext and tag.
    """

    inference_id: str
    task_type: str
    key_id: str
    blob: bytes = field(repr=False)

    @property
    def sealed_with(self) -> str:
        """The key id as the blob has it."""
        return self.blob[1:_NONCE_AT].hex()

    @property
    def names_its_key(self) -> bool:
        """Whether its parts agree on the key, as they do unless somebody changed one of them."""
        return len(self.blob) >= _BOX_AT and self.sealed_with == self.key_id


class Keyring:
    """Seals with the current key, opens with any of its keys."""

    def __init__(self, current: bytes, *others: bytes) -> None:
        self.key_id = key_id(current)
        self._keys = {key_id(key): AESGCM(key) for key in (current, *others)}

    def seal(self, endpoint: InferenceEndpoint) -> Record:
        nonce = os.urandom(_NONCE_BYTES)
        head = bytes([FORMAT]) + bytes.fromhex(self.key_id)
        text = orjson.dumps(dump_endpoint(endpoint))
        box = self._keys[self.key_id].encrypt(nonce, text, _bound(head, endpoint.inference_id))
        return Record(
            inference_id=endpoint.inference_id,
            task_type=endpoint.task_type,
            key_id=self.key_id,
            blob=head + nonce + box,
        )

    def open_(self, record: Record) -> InferenceEndpoint:
        """The endpoint, if everything about the record is in order. Raises: RecordRefused."""
        try:
            return self._opened(record)
        except RecordRefused as refused:
            log.error("%s", refused)
            raise

    def open_all(self, records: Iterable[Record], task_type: TaskType | None = None) -> Listing:
        """The endpoints of one task type, or all of them; records that are refused are logged.

        The task type is read inside the blob: anybody who can write could have changed the one
        beside it.
        """
        endpoints, refused = [], []
        for record in records:
            try:
                endpoints.append(self.open_(record))
            except RecordRefused:
                refused.append(record.inference_id)
        wanted = [one for one in endpoints if task_type in (None, one.task_type)]
        return Listing(sorted(wanted, key=lambda one: one.inference_id), tuple(refused))

    def _opened(self, record: Record) -> InferenceEndpoint:
        head, sealed_with = record.blob[:_NONCE_AT], record.sealed_with
        if record.blob[:1] > bytes([FORMAT]):
            raise refusal(
                record.inference_id,
                f"has the format {record.blob[0]}, which is newer than this proxy",
                "Upgrade the proxy; if no newer one wrote it, it was damaged: delete the endpoint "
                "and create it again",
            )
        if not record.names_its_key:
            raise tampered(record.inference_id)
        if sealed_with not in self._keys:
            raise refusal(
                record.inference_id,
                f"is sealed with the key [{sealed_with}], but the key at hand is "
                f"[{', '.join(self._keys)}]",
                "Give every proxy that shares the store the same [store.encryption_key], "
                "or this one the other key as [store.previous_key]",
            )
        nonce, box = record.blob[_NONCE_AT:_BOX_AT], record.blob[_BOX_AT:]
        try:
            text = self._keys[sealed_with].decrypt(nonce, box, _bound(head, record.inference_id))
        except InvalidTag:
            raise tampered(record.inference_id) from None
        try:
            endpoint = load_endpoint(orjson.loads(text))
        except (KeyError, TypeError, ValueError):  # yet a proxy with our key has written it
            raise refusal(
                record.inference_id,
                "was written by another version of the proxy, and has what this one does not know",
                "Use the proxy's newest version, or delete the endpoint and create it again",
            ) from None
        if (endpoint.inference_id, endpoint.task_type) != (record.inference_id, record.task_type):
            raise tampered(record.inference_id)
        return endpoint

    def check(self, held: Collection[str], store: str) -> None:
        """Raises: KeyMismatch when the store holds records of other keys."""
        if foreign := sorted(set(held) - set(self._keys)):
            raise KeyMismatch(
                f"the store [{store}] holds inference endpoints sealed with the key "
                f"[{', '.join(foreign)}], but the key at hand is [{', '.join(self._keys)}]: set "
                "[store.encryption_key] or [store.previous_key] to the key they were sealed with"
            )


def key_id(key: bytes) -> str:
    """16 hex digits that name a key without giving it away."""
    return hashlib.sha256(b"hugging-face-proxy key id\0" + key).digest()[:_KEY_ID_BYTES].hex()


def refusal(inference_id: str, problem: str, remedy: str) -> RecordRefused:
    # An id that is none was written by somebody else: no line break of it may reach a log.
    shown = inference_id if is_storable(inference_id) else ascii(inference_id[:100])[1:-1]
    return RecordRefused(
        f"Inference endpoint [{shown}] cannot be used: its stored record {problem}. {remedy}"
    )


def tampered(inference_id: str) -> RecordRefused:
    return refusal(
        inference_id,
        "was damaged, or changed by somebody else",
        "Find out who can write to the store, then delete the endpoint and create it again",
    )


def _bound(head: bytes, inference_id: str) -> bytes:
    return b"hugging-face-proxy endpoint\0" + head + inference_id.encode()


# Where keys come from


def load_keyring(config: StoreConfig, generated: Path) -> Keyring | None:
    """The configured keys, or the one that an earlier first start left in `generated`.

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
    """A new key, written to `generated` for all later starts.

    Raises: KeyMismatch when the store already holds records, which a new key could not open.
    """
    if held:
        raise KeyMismatch(
            f"the store [{store}] holds inference endpoints sealed with the key "
            f"[{', '.join(sorted(held))}], but no key is at hand: set [store.encryption_key], or "
            f"put the key file back at [{generated}]"
        )
    try:
        private_folder(generated.parent)
        if _write_once(generated, base64.b64encode(os.urandom(KEY_BYTES)) + b"\n"):
            log.warning("made a new encryption key at [%s]: keep a copy of it", generated)
    except OSError as error:
        raise ConfigError(f"cannot write [{generated}]: {error.strerror}") from None
    return Keyring(_read_key("encryption_key_file", generated))


def private_folder(folder: Path) -> None:
    """Make the folder for its owner alone; one that is there must not be open to others' writes.

    Raises: OSError; ConfigError.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    mode = folder.stat().st_mode
    if os.name == "posix" and mode & 0o022 and not mode & stat.S_ISVTX:
        raise ConfigError(f"[{folder}] must not be writable by others: chmod go-w {folder}")


def _write_once(path: Path, content: bytes) -> bool:
    """Whether this call made the file; it appears whole, however many processes try at once."""
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


def _configured(name: str, text: str | None, file: Path | None) -> bytes | None:
    if text is not None and file is not None:
        raise ConfigError(f"[store.{name}] and [store.{name}_file] exclude each other")
    if file is not None:
        return _read_key(f"{name}_file", file)
    return None if text is None else _parse_key(f"store.{name}", text.strip())


def _read_key(name: str, path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(4096)
    except OSError as error:
        raise ConfigError(f"[store.{name}] cannot read [{path}]: {error.strerror}") from None
    if os.name == "posix" and mode & 0o077:
        raise ConfigError(
            f"[store.{name}] [{path}] must be readable by its owner alone: chmod 600 {path}"
        )
    text = content.strip()
    if len(content) == KEY_BYTES and not text.isascii():
        return content
    return _parse_key(f"store.{name}", text.decode("ascii", "replace"))


def _parse_key(name: str, text: str) -> bytes:
    """32 bytes out of 64 hex digits, or of base64 in either alphabet."""
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
