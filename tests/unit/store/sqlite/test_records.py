"""Records as rows, whatever others have written to the table."""

from __future__ import annotations

import pytest

from proxy.ground.errors import EndpointAlreadyExists, EndpointNotFound
from proxy.store.sealed import Keyring, Record
from proxy.store.sqlite import records
from proxy.store.sqlite.file import DatabaseFile
from tests.support.storeconformance import endpoint

KEYS, OTHERS = Keyring(bytes(32)), Keyring(bytes(range(32)))


def insert(file: DatabaseFile, name: str, keys: Keyring = KEYS) -> Record:
    record = keys.seal(endpoint(name))
    with file.transaction() as connection:
        records.insert(connection, record)
    return record


def test_a_record_is_read_as_it_was_written(file: DatabaseFile):
    record = insert(file, "a")
    assert records.read(file, "a") == record
    newer = KEYS.seal(endpoint("a"))
    with file.transaction() as connection:
        records.replace(connection, newer)
    assert records.read(file, "a") == newer
    with file.transaction() as connection:
        records.delete(connection, "a")
    with pytest.raises(EndpointNotFound):
        records.read(file, "a")


def test_an_id_is_inserted_once_and_deleted_once(file: DatabaseFile):
    insert(file, "a")
    with pytest.raises(EndpointAlreadyExists):
        insert(file, "a")
    with file.transaction() as connection, pytest.raises(EndpointNotFound):
        records.delete(connection, "b")


@pytest.mark.parametrize("name", ["\ud800", "\0", "gone"])
def test_an_id_that_cannot_be_stored_is_none(file: DatabaseFile, name: str):
    with pytest.raises(EndpointNotFound):
        records.read(file, name)


def test_pages_follow_each_other(file: DatabaseFile):
    names = [f"e{number:03}" for number in range(records.PAGE + 3)]
    for name in names:
        insert(file, name)
    first = records.page(file)
    assert len(first) == records.PAGE
    rest = records.page(file, first[-1].inference_id)
    assert [one.inference_id for one in (*first, *rest)] == names


def test_rows_of_the_wrong_kind_are_records_that_no_key_opens(file: DatabaseFile):
    with file.transaction() as connection:
        connection.execute("INSERT INTO endpoints VALUES ('a', 't', 'k', 'text')")
    (record,) = records.page(file)
    assert (record.inference_id, record.key_id) == ("a", "")
    assert not KEYS.opens(record)


def test_records_are_told_apart_by_their_keys(file: DatabaseFile):
    insert(file, "a")
    insert(file, "b", OTHERS)
    with file.transaction() as connection:
        assert records.key_ids(connection) == {KEYS.key_id, OTHERS.key_id}
        of_ours = records.of_keys(connection, KEYS.key_ids)
        assert [one.inference_id for one in of_ours] == ["a"]
    assert {one.inference_id for one in records.sample(file)} == {"a", "b"}


def test_a_record_that_disagrees_with_itself_is_no_sign_of_a_key(file: DatabaseFile):
    insert(file, "a")
    with file.transaction() as connection:
        connection.execute("UPDATE endpoints SET key_id = 'other'")
        assert records.key_ids(connection) == set()
