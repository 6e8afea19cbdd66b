"""The log: plain text or ECS JSON on standard error, and never a body, a header or a token."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator

from proxy.config import LogConfig


def set_up_logging(config: LogConfig) -> None:
    """Write the proxy's own lines, and warnings of libraries, to standard error."""
    kind = config.format or ("text" if sys.stderr.isatty() else "json")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_ecs() if kind == "json" else _text())
    handler.addFilter(hide_exception_texts)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("proxy").setLevel(config.level.upper())
    logging.getLogger("aiohttp.server").addFilter(hide_quoted_requests)
    logging.getLogger("asyncio").addFilter(hide_listed_objects)


def _text() -> logging.Formatter:
    return logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S")


def _ecs() -> logging.Formatter:
    import ecs_logging

    return ecs_logging.StdlibFormatter(exclude_fields=["log.original", "process", "log.origin"])


def hide_quoted_requests(record: logging.LogRecord) -> bool:
    """A filter for aiohttp's server, which quotes bytes of the request: keep the kind of the error.

    False for a caller that closed its connection, which is no error.
    """
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, ConnectionError):
        return False
    record.msg, record.args = "a request was cut off: %s", (type(error).__name__,)
    record.exc_info = record.exc_text = None
    return True


def hide_listed_objects(record: logging.LogRecord) -> bool:
    """A filter for asyncio, which lists the objects in question: keep the first line."""
    record.msg, record.args = record.getMessage().partition("\n")[0], ()
    return True


def hide_exception_texts(record: logging.LogRecord) -> bool:
    """A filter that keeps where an exception was raised and its type: its text may be anything."""
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        record.stack_info = "\n".join(_places(error))
        record.exc_info = record.exc_text = None
    return True


def _places(error: BaseException) -> Iterator[str]:
    """Frames and type of an exception, those of the exceptions that led to it first."""
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None:
        yield from _places(before)
    for part in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
        yield from _places(part)
    yield "".join(traceback.format_tb(error.__traceback__)) + type(error).__qualname__
