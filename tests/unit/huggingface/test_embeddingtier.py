"""The file of embeddings beside the event loop."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing

import pytest

from proxy.huggingface.embeddingcache import EmbeddingCache, Memory
from proxy.huggingface.embeddingfile import EmbeddingFile
from proxy.huggingface.embeddingtier import FileTier
from tests.support.clock import Clock

MIB = 1024 * 1024
KIB = 1024


@pytest.fixture
def path(tmp_path):
    return tmp_path / "made" / "embeddings.db"


@pytest.fixture
def clock():
    return Clock()


def key(number: int) -> bytes:
    return number.to_bytes(32)


def run(path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


def tier_of(path, clock):
    return FileTier(EmbeddingFile(path, MIB), clock=clock)


async def test_what_is_kept_outlasts_the_process(path, clock):
    first = EmbeddingCache(Memory(MIB), tier := tier_of(path, clock))
    first.keep([(key(1), b"[1]")])
    await tier.close()
    tier = tier_of(path, clock)
    second = EmbeddingCache(Memory(MIB), tier)
    for _ in range(2):
        assert await second.find([key(1), key(2)]) == {key(1): b"[1]"}
    await tier.close()
    assert (second.from_file, second.from_memory, second.from_provider) == (1, 1, 2)


async def test_values_that_come_faster_than_they_are_written_are_written_together(path, clock):
    tier = tier_of(path, clock)
    for number in range(3000):
        tier.keep(key(number), b"[%d]" % number)
    tier.keep(key(1), b"[new]")
    await tier.written()
    found = await tier.find([key(number) for number in range(3000)])
    assert (len(found), found[key(1)]) == (3000, b"[new]")
    await tier.close()


async def test_what_the_disk_does_not_take_in_time_is_dropped(path, clock):
    tier = tier_of(path, clock)
    for number in range(40):
        tier.keep(key(number), bytes(MIB))
    assert tier._waiting_bytes <= 16 * MIB
    await tier.close()


def break_nothing_there(path):
    path.parent.write_text("a file, where a folder should be")


def break_no_database(path):
    path.parent.mkdir()
    path.write_bytes(b"no database" * 1000)


def break_for_all(path):
    path.parent.mkdir()
    path.touch()
    path.chmod(0o666)


def break_folder_for_all(path):
    path.parent.mkdir()
    path.parent.chmod(0o777)


BREAKS = [break_nothing_there, break_no_database, break_for_all, break_folder_for_all]


@pytest.mark.parametrize("break_", BREAKS)
async def test_a_file_that_cannot_be_used_is_a_warning_and_a_miss(path, clock, caplog, break_):
    break_(path)
    tier = tier_of(path, clock)
    await tier.open()
    tier.keep(key(1), b"[1]")
    await tier.written()
    assert await tier.find([key(1)]) == {}
    clock.now += 100
    assert await tier.find([key(1)]) == {}
    assert [one.levelno for one in caplog.records] == [logging.WARNING]
    assert caplog.messages[0].startswith(f"[cache.file] [{path}] cannot be used")
    await tier.close()


async def test_a_file_that_is_locked_is_tried_again(path, clock, caplog):
    tier = tier_of(path, clock)
    await tier.open()
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        tier.keep(key(1), b"[1]")
        await tier.written()
    assert "SQLITE_BUSY" in caplog.text
    assert await tier.find([key(1)]) == {}
    clock.now += 100
    tier.keep(key(1), b"[1]")
    await tier.written()
    assert await tier.find([key(1)]) == {key(1): b"[1]"}
    await tier.close()


async def test_a_file_that_is_damaged_while_it_is_used_is_a_miss(path, clock, caplog):
    tier = tier_of(path, clock)
    for number in range(200):
        tier.keep(key(number), bytes(4 * KIB))
    await tier.close()
    content = bytearray(path.read_bytes())
    content[4096:] = bytes(len(content) - 4096)
    path.write_bytes(content)
    tier = tier_of(path, clock)
    assert await tier.find([key(1)]) == {}
    assert "SQLITE_CORRUPT" in caplog.text
    await tier.close()
