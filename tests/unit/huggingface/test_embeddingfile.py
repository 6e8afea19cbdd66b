"""The file of embeddings: what is found in it again, how large it gets, and what may be wrong."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from proxy.huggingface.embeddingfile import EmbeddingFile, Unusable
from tests.support.clock import Clock

MIB = 1024 * 1024
KIB = 1024


@pytest.fixture
def path(tmp_path):
    return tmp_path / "made" / "embeddings.db"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def file(path, clock):
    with closing(EmbeddingFile(path, MIB, clock=clock)) as file:
        yield file


def key(number: int) -> bytes:
    return number.to_bytes(32)


def run(path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


def size_of(path):
    return path.stat().st_size


def test_what_is_written_is_found_by_all_and_after_a_restart(file, path):
    items = [(key(number), b"[%d]" % number) for number in range(1200)]
    file.write(items)
    with closing(EmbeddingFile(path, MIB)) as second:
        assert second.find([*(one for one, _ in items), key(5000)]) == dict(items)
        second.write([(key(1), b"[new]")])
    assert file.find([key(1)]) == {key(1): b"[new]"}


def test_it_is_its_owners_alone(file, path):
    file.open()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_what_was_not_used_for_longest_makes_room(file, path, clock):
    for number in range(200):
        file.write([(key(number), bytes(4 * KIB))])
    clock.now += 3 * 3600
    assert file.find([key(0)])
    for number in range(200, 300):
        file.write([(key(number), bytes(4 * KIB))])
        assert size_of(path) <= 1.1 * MIB
    assert list(file.find([key(0), key(1), key(299)])) == [key(0), key(299)]


def test_a_smaller_bound_makes_the_file_smaller(file, path):
    file.write((key(number), bytes(4 * KIB)) for number in range(240))
    file.close()
    with closing(EmbeddingFile(path, 200 * KIB)) as smaller:
        for number in range(20):
            smaller.write([(key(1000 + number), bytes(KIB))])
    assert size_of(path) <= 220 * KIB


@pytest.mark.parametrize("change", ["value = x'00'", f"key = x'{key(2).hex()}'", "value = 'text'"])
def test_a_row_that_is_not_as_it_was_written_is_not_found(file, path, change):
    file.write([(key(1), b"[1]"), (key(3), b"[3]")])
    run(path, f"UPDATE embeddings SET {change} WHERE value = x'{b'[1]'.hex()}'")
    assert file.find([key(1), key(2), key(3)]) == {key(3): b"[3]"}


def test_a_database_of_another_program_is_left_alone(file, path):
    path.parent.mkdir()
    run(path, "CREATE TABLE theirs (a)")
    before = path.read_bytes()
    with pytest.raises(Unusable, match="another program"):
        file.open()
    assert path.read_bytes() == before


# Beside the event loop
