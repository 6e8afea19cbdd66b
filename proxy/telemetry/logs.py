"""The log: plain text or ECS JSON on standard error.

It never holds a body, a token, or a header but X-Opaque-Id.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import Iterator
from typing import Final

from proxy.config import LogConfig

_CONTROLS: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def set_up_logging(config: LogConfig) -> None:
    """Write the proxy's own lines, and warnings of libraries, to standard error."""
    kind = config.format or ("text" if sys.stderr.isatty() else "json")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(ecs_formatter() if kind == "json" else text_formatter())
    handler.addFilter(hide_exception_texts)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("proxy").setLevel(config.level.upper())
    logging.getLogger("aiohttp.server").addFilter(hide_quoted_requests)
    logging.getLogger("asyncio").addFilter(hide_listed_objects)


def text_formatter() -> logging.Formatter:
    return _OneLine("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S")


class _OneLine(logging.Formatter):
    """A message is one line, whoever has chosen parts of it; traces of exceptions follow it."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = _CONTROLS.sub(
            lambda found: found[0].encode("unicode_escape").decode(), record.message
        )
        return super().formatMessage(record)


def ecs_formatter() -> logging.Formatter:
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
