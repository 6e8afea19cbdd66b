from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.ground.errors import KeyMismatch, RecordRefused, StoreDamaged
from proxy.inference.dumping import dump_endpoint
from proxy.inference.endpoints import TaskType
from proxy.store.sealed import FORMAT, Keyring, key_id
from tests.support.storeconformance import TOKEN, endpoint

A, B = bytes(range(32)), bytes(range(1, 33))


def altered(record, **changes):
    return dataclasses.replace(record, **changes)


def test_what_is_sealed_opens():
    keyring = Keyring(A)
    assert keyring.open_(keyring.seal(endpoint())) == endpoint()


@given(st.text(st.characters(codec="utf-8"), min_size=1), st.text(st.characters(codec="utf-8")))
def test_any_text_opens_as_it_was(token, url):
    keyring = Keyring(A)
    assert keyring.open_(keyring.seal(endpoint(url=url, token=token))) == endpoint(
        url=url, token=token
    )


def test_no_two_records_are_alike_and_none_shows_what_is_in_it():
    keyring = Keyring(A)
    records = [keyring.seal(endpoint()) for _ in range(100)]
    assert len({record.blob[9:21] for record in records}) == 100
    assert len({record.blob[21:] for record in records}) == 100
    assert not any(TOKEN.encode() in record.blob for record in records)
    assert "blob" not in repr(records[0])


@given(st.data())
def test_a_record_with_any_bit_changed_is_refused(data):
    keyring = Keyring(A, B)
    record = keyring.seal(endpoint())
    at = data.draw(st.integers(0, len(record.blob) * 8 - 1))
    blob = bytearray(record.blob)
    blob[at // 8] ^= 1 << at % 8
    with pytest.raises(RecordRefused):
        keyring.open_(altered(record, blob=bytes(blob)))


@given(st.binary(max_size=100))
def test_garbage_is_refused(blob):
    keyring = Keyring(A)
    record = altered(keyring.seal(endpoint()), blob=blob, key_id=blob[1:9].hex())
    with pytest.raises(RecordRefused) as refused:
        keyring.open_(record)
    assert refused.value.status == 500


@pytest.mark.parametrize(
    "changes",
    [{"inference_id": "other"}, {"task_type": "rerank"}, {"key_id": key_id(B)}, {"key_id": ""}],
)
def test_a_record_that_claims_something_else_is_refused(changes, caplog):
    keyring = Keyring(A, B)
    with pytest.raises(RecordRefused, match="changed by somebody else") as refused:
        keyring.open_(altered(keyring.seal(endpoint()), **changes))
    assert str(refused.value) in caplog.text
    assert TOKEN not in caplog.text


def test_a_refusal_is_logged_once(caplog):
    keyring = Keyring(A)
    for _ in range(3):
        for name in "ab":
            with pytest.raises(RecordRefused):
                keyring.open_(altered(keyring.seal(endpoint(name)), task_type="rerank"))
    assert len(caplog.records) == 2


def test_the_task_is_bound_though_it_is_searched_in_plain():
    keyring = Keyring(A)
    rerank = keyring.seal(endpoint(task_type=TaskType.RERANK))
    with pytest.raises(RecordRefused):
        keyring.open_(altered(rerank, task_type="text_embedding"))


def test_a_newer_format_asks_for_a_newer_proxy():
    keyring = Keyring(A)
    record = keyring.seal(endpoint())
    newer = bytes([FORMAT + 1]) + record.blob[1:]
    with pytest.raises(RecordRefused, match=r"\[e1\].* newer than this proxy. Upgrade"):
        keyring.open_(altered(record, blob=newer))


def test_a_setting_that_only_a_newer_proxy_knows_is_no_damage(monkeypatch):
    keyring = Keyring(A)
    newer = dump_endpoint(endpoint())
    newer["service_settings"]["new_setting"] = TOKEN
    monkeypatch.setattr("proxy.store.sealed.dump_endpoint", lambda _: newer)
    with pytest.raises(RecordRefused, match="Use the proxy's newest version") as refused:
        keyring.open_(keyring.seal(endpoint()))
    assert TOKEN not in str(refused.value)


def test_an_unknown_key_is_named_with_the_remedy():
    record = Keyring(A).seal(endpoint())
    with pytest.raises(RecordRefused) as refused:
        Keyring(B).open_(record)
    for part in ("[e1]", key_id(A), key_id(B), "[store.previous_key]"):
        assert part in str(refused.value)


def test_a_sealed_text_that_is_no_endpoint_is_refused(monkeypatch):
    keyring = Keyring(A)
    documents: list[object] = [{}, {"inference_id": "e1"}, [], "e1", None]
    for document in documents:
        monkeypatch.setattr("proxy.store.sealed.dump_endpoint", lambda _, d=document: d)
        record = keyring.seal(endpoint())
        with pytest.raises(RecordRefused, match="written by another version of the proxy"):
            keyring.open_(record)


def test_both_keys_open_and_the_current_one_seals():
    old = Keyring(A).seal(endpoint())
    both = Keyring(B, A)
    assert both.open_(old) == endpoint()
    assert both.seal(endpoint()).key_id == key_id(B)
    both.check({key_id(A), key_id(B)}, "s")
    with pytest.raises(KeyMismatch, match=key_id(A)):
        Keyring(B).check({key_id(A), key_id(B)}, "s")


def test_a_key_id_is_no_part_of_the_key():
    assert len(key_id(A)) == 16
    assert bytes.fromhex(key_id(A)) not in A
    assert key_id(A) != key_id(B)
    assert A.hex() not in repr(vars(Keyring(A)))


def test_a_sample_tells_of_keys_that_were_changed_elsewhere():
    old, new = Keyring(A), Keyring(B)
    before, after = [old.seal(endpoint("e1"))], [new.seal(endpoint("e2"))]
    assert old.survey([], "s") is None
    assert old.survey(before, "s") is None
    problem = old.survey(before + after, "s")
    assert problem is not None
    assert f"sealed with the key [{new.key_id}], but the key at hand is [{old.key_id}]" in problem
    with pytest.raises(KeyMismatch) as error:
        old.survey(after, "s")
    assert error.value.reason == problem
    assert "e2" not in problem  # nobody is asked for credentials where it is shown


def test_a_sample_tells_of_damage():
    keyring = Keyring(A)
    whole = keyring.seal(endpoint("e1"))
    damaged = altered(keyring.seal(endpoint("e2")), blob=b"nonsense")
    assert "cannot be used" in (keyring.survey([whole, damaged], "s") or "")
    with pytest.raises(StoreDamaged, match="_inference/_all names them"):
        keyring.survey([damaged], "s")


def test_an_endpoint_has_another_revision_each_time_it_is_sealed():
    keyring = Keyring(A)
    record = keyring.seal(endpoint())
    opened = keyring.open_(record)
    assert opened.revision == keyring.open_(record).revision
    again = keyring.open_(keyring.seal(opened))
    assert (again, again.revision == opened.revision) == (opened, False)
    assert "revision" not in dump_endpoint(opened)
