"""Endpoints in an SQLite file, shared by the workers of one machine."""

from proxy.store.sqlite.store import SQLiteStore

__all__ = ["SQLiteStore"]
