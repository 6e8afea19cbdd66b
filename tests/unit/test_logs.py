from __future__ import annotations

import logging
import sys

import pytest

from proxy.logs import without_quotes


def record_of(error):
    try:
        raise error
    except type(error):
        found = sys.exc_info()
    text = "Error handling request from %s: Authorization: Basic c2VjcmV0"
    return logging.LogRecord("aiohttp.server", logging.ERROR, "f", 1, text, ("peer",), found)


def test_what_aiohttp_quotes_is_not_logged():
    record = record_of(ValueError("Authorization: Basic c2VjcmV0"))
    assert without_quotes(record)
    assert logging.Formatter().format(record) == "a request was cut off: ValueError"


@pytest.mark.parametrize("error", [ConnectionResetError("x"), BrokenPipeError("x")])
def test_a_caller_that_has_gone_is_no_error(error):
    assert not without_quotes(record_of(error))
