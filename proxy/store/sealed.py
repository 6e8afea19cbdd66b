"""Records: endpoints sealed with AES-256-GCM, token and all, and notes in the same way.

A record is bound to its inference id and its key. Who can write to the store can neither read a
token, nor send it somewhere else, nor pass one record off as another; only delete a record or put
an older one back. A note, which is what proxies tell each other, is no more an endpoint than one
endpoint is another.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from proxy.ground.errors import KeyMismatch, RecordRefused, StoreDamaged, StoreError
from proxy.inference.dumping import dump_endpoint, load_endpoint
from proxy.inference.endpoints import InferenceEndpoint
from proxy.inference.ids import is_storable, list_ids

FORMAT: Final = 1
_KEY_ID_BYTES: Final = 8
_NONCE_BYTES: Final = 12
_NONCE_AT: Final = 1 + _KEY_ID_BYTES
_BOX_AT: Final = _NONCE_AT + _NONCE_BYTES
_ENDPOINT: Final = b"endpoint"
_NOTE: Final = b"note"
NOTE: Final = "note"  # stands for the task type of a record that is one
_MOST_TOLD: Final = 100  # problems that are logged by one process

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """An endpoint as a store holds it. Only `blob` counts; the rest is there to be searched.

    `blob` is one byte of format version, 8 of key id, 12 of nonce, then ciphertext and tag.
    """

    inference_id: str
    task_type: str
    key_id: str
    blob: bytes = field(repr=False)

    @property
    def sealed_with(self) -> str:
        """The id of the key, as the blob has it."""
        return self.blob[1:_NONCE_AT].hex()

    @property
    def revision(self) -> str:
        """Another for each record that is sealed."""
        return self.blob[_NONCE_AT:_BOX_AT].hex()

    @property
    def names_its_key(self) -> bool:
        """Whether blob and `key_id` name the same key; if not, one of them was changed."""
        return len(self.blob) >= _BOX_AT and self.sealed_with == self.key_id


class Keyring:
    """Seals with the current key, opens with any of its keys."""

    def __init__(self, current: bytes, *others: bytes) -> None:
        self.key_id = key_id(current)
        self._keys = {key_id(key): AESGCM(key) for key in (current, *others)}
        self._told: set[str] = set()

    def seal(self, endpoint: InferenceEndpoint) -> Record:
        text = orjson.dumps(dump_endpoint(endpoint))
        return self._sealed(endpoint.inference_id, endpoint.task_type, text, _ENDPOINT)

    def seal_note(self, name: str, content: Mapping[str, Any]) -> Record:
        """A note as a record; its name is no inference id."""
        return self._sealed(name, NOTE, orjson.dumps(content), _NOTE)

    def _sealed(self, name: str, kind: str, text: bytes, use: bytes) -> Record:
        nonce = os.urandom(_NONCE_BYTES)
        head = bytes([FORMAT]) + bytes.fromhex(self.key_id)
        box = self._keys[self.key_id].encrypt(nonce, text, _bound(head, name, use))
        return Record(
            inference_id=name, task_type=kind, key_id=self.key_id, blob=head + nonce + box
        )

    @property
    def key_ids(self) -> list[str]:
        """Those of all keys that are at hand."""
        return list(self._keys)

    def open_(self, record: Record) -> InferenceEndpoint:
        """The endpoint. Raises: RecordRefused, logged once, if anything about it is wrong."""
        try:
            return replace(self._opened(record), revision=record.revision)
        except RecordRefused as refused:
            self.tell(refused.reason)
            raise

    def open_note(self, record: Record) -> dict[str, Any] | None:
        """What a note says; None if anything about it is wrong."""
        try:
            content = orjson.loads(self._decrypted(record, _NOTE))
        except (RecordRefused, orjson.JSONDecodeError):
            return None
        return content if isinstance(content, dict) else None

    def opens(self, record: Record) -> bool:
        try:
            self._opened(record)
        except RecordRefused:
            return False
        return True

    def tell(self, problem: str) -> None:
        """Log what is wrong with the store, once; who may write to it could repeat it for ever."""
        if problem in self._told or len(self._told) > _MOST_TOLD:
            return
        self._told.add(problem)
        if len(self._told) > _MOST_TOLD:
            problem = "there are more records that cannot be used; no more of them are logged"
        log.error("%s", problem)

    def _decrypted(self, record: Record, use: bytes) -> bytes:
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
            bound = _bound(head, record.inference_id, use)
            return self._keys[sealed_with].decrypt(nonce, box, bound)
        except InvalidTag:
            raise tampered(record.inference_id) from None

    def _opened(self, record: Record) -> InferenceEndpoint:
        text = self._decrypted(record, _ENDPOINT)
        try:
            endpoint = load_endpoint(orjson.loads(text))
        except (KeyError, TypeError, ValueError):  # though it was sealed with a key of ours
            raise refusal(
                record.inference_id,
                "was written by another version of the proxy, and has what this one does not know",
                "Use the proxy's newest version, or delete the endpoint and create it again",
            ) from None
        if (endpoint.inference_id, endpoint.task_type) != (record.inference_id, record.task_type):
            raise tampered(record.inference_id)
        return endpoint

    def check(self, held: Collection[str], store: str) -> None:
        """Raises: KeyMismatch for ids of other keys, where no record of the store opens."""
        if foreign := set(held) - set(self._keys):
            raise KeyMismatch(
                f"the store [{store}] holds inference endpoints sealed with the key "
                f"{list_ids(sorted(foreign))}, but the key at hand is [{', '.join(self._keys)}]: "
                "set [store.encryption_key] or [store.previous_key] to the key they were sealed "
                "with, or delete what others have written there"
            )

    def survey(self, sample: Collection[Record], store: str) -> str | None:
        """What is wrong with some of these records, if anything is; no id is named.

        Raises: KeyMismatch or StoreDamaged if none of them opens.
        """
        refused = [record for record in sample if not self.opens(record)]
        if not refused:
            return None
        problem: StoreError = StoreDamaged(
            f"the store [{store}] holds inference endpoints whose records cannot be used: GET "
            "_inference/_all names them"
        )
        try:
            self.check(keys_of(refused), store)
        except KeyMismatch as error:
            problem = error
        if len(refused) == len(sample):
            raise problem
        return problem.reason


def keys_of(records: Iterable[Record]) -> set[str]:
    """The ids of the keys that records are sealed with.

    A record whose blob and `key_id` disagree is damaged, and no sign of a key.
    """
    return {record.key_id for record in records if record.names_its_key}


def key_id(key: bytes) -> str:
    """A public name for a key: 16 hex digits of a hash of it."""
    return hashlib.sha256(b"hugging-face-proxy key id\0" + key).digest()[:_KEY_ID_BYTES].hex()


def refusal(inference_id: str, problem: str, remedy: str) -> RecordRefused:
    # The store may hold anything as an id, even a line break, which must not reach a log.
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


def _bound(head: bytes, name: str, use: bytes) -> bytes:
    return b"hugging-face-proxy %b\0%b%b" % (use, head, name.encode())
