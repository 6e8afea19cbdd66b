from __future__ import annotations

import base64
import subprocess

import pytest

from proxy.config import ConfigError, StoreConfig
from proxy.ground.errors import KeyMismatch
from proxy.store.keys import load_keyring, make_keyring
from proxy.store.sealed import key_id

A, B = bytes(range(32)), bytes(range(1, 33))


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


@pytest.mark.parametrize("mode", [0o400, 0o440, 0o444, 0o640, 0o604, 0o644, 0o660])
def test_a_key_file_may_be_read_by_others(tmp_path, mode):
    file = tmp_path / "key"
    file.write_text(A.hex())
    file.chmod(mode)
    assert load(tmp_path, encryption_key_file=file).key_id == key_id(A)
    assert load(tmp_path, encryption_key=B.hex(), previous_key_file=file)


def test_a_key_file_that_others_can_write_is_refused(tmp_path):
    file = tmp_path / "key"
    file.write_text(A.hex())
    file.chmod(0o666)
    with pytest.raises(ConfigError, match="can be written by every user: chmod o-w"):
        load(tmp_path, encryption_key_file=file)
    with pytest.raises(ConfigError, match=r"\[store.previous_key_file\].*chmod o-w"):
        load(tmp_path, encryption_key=B.hex(), previous_key_file=file)


def test_a_key_file_made_as_the_readme_says_is_taken(tmp_path):
    command = "umask 022; openssl rand -hex 32 > file"
    subprocess.run(command, shell=True, cwd=tmp_path, check=True)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644
    assert load(tmp_path, encryption_key_file=tmp_path / "file")


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
    assert make_keyring(path, (), "s").key_id == made.key_id  # it takes the key that is there
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
