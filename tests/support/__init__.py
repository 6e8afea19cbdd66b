"""Helpers that several tests use: processes, stub servers, HTTP callers, certificates."""
