"""Notes as rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from proxy.store.sealed import Keyring
from proxy.store.sqlite.file import DatabaseFile
from proxy.store.sqlite.notes import SQLiteNotes

KEYS = Keyring(bytes(32))


async def at_once(work: Callable[[], Any]) -> Any:
    return work()


def notes_in(file: DatabaseFile, keys: Keyring = KEYS) -> SQLiteNotes:
    return SQLiteNotes(file, at_once, lambda: keys)


async def test_notes_are_written_read_and_deleted(file: DatabaseFile):
    notes = notes_in(file)
    await notes.write("a", {"n": 1})
    await notes.write("a", {"n": 2})
    await notes.write("b", {})
    assert await notes.read("a") == {"n": 2}
    assert await notes.all() == {"a": {"n": 2}, "b": {}}
    await notes.delete("a")
    assert await notes.read("a") is None


async def test_a_change_begins_with_what_is_there(file: DatabaseFile):
    notes = notes_in(file)

    def risen(content: dict[str, Any]) -> dict[str, Any]:
        return {"n": content["n"] + 1}

    assert await notes.change("a", risen) is None
    assert await notes.change("a", risen, start={"n": 1}) == {"n": 2}
    assert await notes.change("a", risen, start={"n": 1}) == {"n": 3}


async def test_what_no_key_opens_is_no_note(file: DatabaseFile):
    await notes_in(file, Keyring(bytes(range(32)))).write("a", {"n": 1})
    with file.transaction() as connection:
        connection.execute("INSERT INTO notes VALUES ('b', 'k', 'text')")
    assert await notes_in(file).all() == {}
    assert await notes_in(file).change("a", dict, start={"n": 5}) == {"n": 5}
