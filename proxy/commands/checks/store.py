"""The store: the rights on it, whether it is the proxy's, and whether the key fits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from proxy.commands.checks.findings import Finding, error, ok, warning
from proxy.commands.checks.questions import PATIENCE
from proxy.config import Config, ConfigError
from proxy.ground.errors import StoreError
from proxy.inference.ids import list_ids
from proxy.store.inspecting import Inspection, inspect
from proxy.store.keys import check_nothing_is_held, load_keyring
from proxy.store.ownerfiles import check_can_be_made
from proxy.store.sealed import Keyring, Record, keys_of


async def check_store(config: Config) -> Sequence[Finding]:
    """Findings about the store; nothing is made, not even a key."""
    limited = replace(
        config, store=replace(config.store, timeout=min(config.store.timeout, PATIENCE))
    )
    findings: list[Finding] = []
    inspection = inspect(limited)
    try:
        inspection.open()
        rights = await inspection.rights()
        findings += _rights(rights, inspection)
        records = None
        if rights.get("read", True):
            records = await inspection.records()
            findings += _contents(records, inspection)
        if records is not None and rights.get("create_index") is False:
            findings = [
                one.mitigated() if "[create_index]" in one.text else one for one in findings
            ]
        findings += _keys(config, inspection, records or [])
    except (StoreError, ConfigError) as problem:
        findings.append(error(f"store: {problem}"))
    finally:
        await inspection.close()
    return findings


def _rights(rights: Mapping[str, bool], inspection: Inspection) -> Iterator[Finding]:
    for name, granted in rights.items():
        if granted:
            yield ok(f"store: the proxy has the privilege [{name}] on {inspection.what}")
        else:
            yield error(
                f"store: the proxy lacks the privilege [{name}] on {inspection.what}: grant it to "
                "its API key or user"
            )


def _contents(records: list[Record] | None, inspection: Inspection) -> Iterator[Finding]:
    if records is None:
        yield ok(f"store: {inspection.what} is not there yet: the proxy makes it")
    else:
        yield ok(f"store: {inspection.what} is as the proxy makes it")


def _keys(config: Config, inspection: Inspection, records: Sequence[Record]) -> Iterator[Finding]:
    held = keys_of(records)
    keys = load_keyring(config.store, inspection.generated)
    if keys is None:
        check_nothing_is_held(inspection.generated, held, inspection.place)
        check_can_be_made("store.encryption_key", inspection.generated)
        yield ok(
            "store: there is no encryption key yet, the first start makes one at "
            f"[{inspection.generated}]: keep a copy of it"
        )
        return
    if not any(map(keys.opens, records)):  # others may have written records of keys of their own
        keys.check(held, inspection.place)
    if not records:
        yield ok(f"store: the encryption key [{keys.key_id}] can be used")
        return
    yield ok(f"store: the encryption key [{keys.key_id}] fits what is stored")
    yield from _endpoints(keys, records)


def _endpoints(keys: Keyring, records: Sequence[Record]) -> Iterator[Finding]:
    usable = [record for record in records if keys.opens(record)]
    if refused := {record.inference_id for record in records} - {
        one.inference_id for one in usable
    }:
        yield warning(
            f"store: the records of {list_ids(sorted(refused))} cannot be used: GET one to see "
            "why, DELETE what is lost"
        )
    yield ok(f"store: {len(usable)} inference endpoints can be used")
    older = sum(record.sealed_with != keys.key_id for record in usable)
    if older:
        yield warning(
            f"store: {older} of them are sealed with [store.previous_key]: `rekey` ends the change"
        )
