from __future__ import annotations

import asyncio
import logging
import sys

import pytest

from proxy.config import LogConfig
from proxy.telemetry.logs import hide_quoted_requests, set_up_logging


def record_of(error):
    try:
        raise error
    except type(error):
        found = sys.exc_info()
    text = "Error handling request from %s: Authorization: Basic c2VjcmV0"
    return logging.LogRecord("aiohttp.server", logging.ERROR, "f", 1, text, ("peer",), found)


def test_what_aiohttp_quotes_is_not_logged():
    record = record_of(ValueError("Authorization: Basic c2VjcmV0"))
    assert hide_quoted_requests(record)
    assert logging.Formatter().format(record) == "a request was cut off: ValueError"


@pytest.mark.parametrize("error", [ConnectionResetError("x"), BrokenPipeError("x")])
def test_a_caller_that_has_gone_is_no_error(error):
    assert not hide_quoted_requests(record_of(error))


SECRET = "hf_DoNotShowThis0123456789"


def failing():
    try:
        raise KeyError(SECRET)
    except KeyError:
        raise ExceptionGroup("several", [ValueError(SECRET)]) from OSError(SECRET)


@pytest.mark.parametrize("format", ["text", "json"])
def test_an_exception_is_told_by_its_place_and_kind(format, capsys, restored_logging):
    set_up_logging(LogConfig(format=format))
    try:
        failing()
    except ExceptionGroup:
        logging.getLogger("proxy.api").exception("unhandled error: %s", "PUT")
    written = capsys.readouterr().err
    for part in ("unhandled error: PUT", "in failing", "OSError", "ValueError", "ExceptionGroup"):
        assert part in written
    assert SECRET not in written


def test_what_asyncio_prints_of_a_task_is_not_logged(capsys, restored_logging):
    set_up_logging(LogConfig(format="text"))
    loop = asyncio.new_event_loop()
    error = ValueError(SECRET)
    loop.call_exception_handler({"message": "nobody looked", "exception": error, "task": SECRET})
    loop.close()
    written = capsys.readouterr().err
    assert "nobody looked" in written
    assert "ValueError" in written
    assert SECRET not in written


def test_a_text_line_is_one_line_whoever_has_chosen_its_words(capsys, restored_logging):
    set_up_logging(LogConfig(format="text"))
    logging.getLogger("proxy.x").warning("said %s", "a\nb\r\x1b[31m\u2028c é")
    written = capsys.readouterr().err
    assert written.count("\n") == 1
    assert written.endswith(r"said a\nb\r\x1b[31m\u2028c é" + "\n")


@pytest.fixture
def restored_logging():
    """The test may change what is logged where."""
    loggers = [logging.getLogger(name) for name in (None, "proxy", "asyncio", "aiohttp.server")]
    before = [(one.handlers[:], one.filters[:], one.level) for one in loggers]
    yield
    for one, (handlers, filters, level) in zip(loggers, before, strict=True):
        one.handlers[:], one.filters[:] = handlers, filters
        one.setLevel(level)
