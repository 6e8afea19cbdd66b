from __future__ import annotations

import base64
import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config import ConfigError, StoreConfig
from proxy.errors import KeyMismatch, RecordRefused
from proxy.inference.endpoints import TaskType, dump_endpoint
from proxy.store.sealed import FORMAT, Keyring, key_id, load_keyring, make_keyring, private_folder
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


# Keys


def load(path, **config):
    return load_keyring(StoreConfig(**config), path / "made.key")


def test_a_key_may_be_hex_or_base64(tmp_path):
    texts = [
        A.hex(),
        A.hex().upper(),
        base64.b64encode(A).decode(),
        base64.b64encode(A).decode().rstrip("="),
        base64.urlsafe_b64encode(A).decode(),
        f"  {A.hex()}\n",
    ]
    for text in texts:
        assert load(tmp_path, encryption_key=text).key_id == key_id(A)
    weird = b"\xfb\xff" * 16
    for text in (base64.b64encode(weird).decode(), base64.urlsafe_b64encode(weird).decode()):
        assert load(tmp_path, encryption_key=text).key_id == key_id(weird)


@pytest.mark.parametrize("text", ["", "short", "zz" * 32, A.hex()[:-2], A.hex() + "00", "ä" * 32])
def test_another_text_is_no_key(tmp_path, text):
    with pytest.raises(ConfigError, match=r"\[store.encryption_key\] must be 32 random") as error:
        load(tmp_path, encryption_key=text)
    assert not text or text not in str(error.value)


@pytest.mark.parametrize(
    "content", [bytes(range(224, 255)) + b"\xff", A.hex().encode() + b"\n", base64.b64encode(A)]
)
def test_a_key_file_may_hold_bytes_or_text(tmp_path, content):
    file = tmp_path / "key"
    file.write_bytes(content)
    file.chmod(0o600)
    expected = content if len(content) == 32 else A
    assert load(tmp_path, encryption_key_file=file).key_id == key_id(expected)
    file.chmod(0o400)
    assert load(tmp_path, encryption_key_file=file)


def test_a_text_as_long_as_a_key_is_none(tmp_path):
    file = tmp_path / "key"
    file.write_bytes(b"0123456789abcdef0123456789abcdef")
    file.chmod(0o600)
    with pytest.raises(ConfigError, match="32 random bytes"):
        load(tmp_path, encryption_key_file=file)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o666, 0o660])
def test_a_key_file_that_others_can_read_is_refused(tmp_path, mode):
    file = tmp_path / "key"
    file.write_text(A.hex())
    file.chmod(mode)
    with pytest.raises(ConfigError, match="chmod 600"):
        load(tmp_path, encryption_key_file=file)
    with pytest.raises(ConfigError, match=r"\[store.previous_key_file\].*chmod 600"):
        load(tmp_path, encryption_key=B.hex(), previous_key_file=file)


def test_a_key_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"missing.*No such file"):
        load(tmp_path, encryption_key_file=tmp_path / "missing")


def test_settings_that_contradict_each_other_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="exclude each other"):
        load(tmp_path, encryption_key=A.hex(), encryption_key_file=tmp_path / "key")
    with pytest.raises(ConfigError, match=r"\[store.previous_key\] needs"):
        load(tmp_path, previous_key=A.hex())


def test_a_first_start_makes_a_key_that_later_ones_find(tmp_path):
    path = tmp_path / "state" / "made.key"
    assert load_keyring(StoreConfig(), path) is None
    made = make_keyring(path, (), "s")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    found = load_keyring(StoreConfig(), path)
    assert found is not None
    assert found.key_id == made.key_id
    assert make_keyring(path, (), "s").key_id == made.key_id  # who comes second takes the first's
    assert list(path.parent.iterdir()) == [path]


def test_no_key_is_made_beside_records_that_it_could_not_open(tmp_path):
    path = tmp_path / "made.key"
    with pytest.raises(KeyMismatch, match=rf"\[{key_id(A)}\].*no key is at hand") as error:
        make_keyring(path, {key_id(A)}, "the-store")
    assert "\n" not in str(error.value)
    assert "the-store" in str(error.value)
    assert not path.exists()


def test_a_generated_key_gives_way_to_a_configured_one(tmp_path):
    made = make_keyring(tmp_path / "made.key", (), "s")
    assert load(tmp_path, encryption_key=A.hex()).key_id == key_id(A) != made.key_id
    both = load(tmp_path, encryption_key=A.hex(), previous_key_file=tmp_path / "made.key")
    both.check({key_id(A), made.key_id}, "s")


def test_a_key_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot write"):
        make_keyring(tmp_path / "file" / "made.key", (), "s")


def test_a_folder_that_others_can_write_to_is_refused(tmp_path):
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o775)
    with pytest.raises(ConfigError, match="chmod go-w"):
        private_folder(folder)
    folder.chmod(0o1777)  # as /tmp is: nobody can replace another's files
    private_folder(folder)
    folder.chmod(0o755)
    private_folder(folder)
