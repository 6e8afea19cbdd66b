"""Log output: plain text on a terminal, ECS JSON elsewhere. Never a body, a header or a token."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator

from proxy.config import LogConfig


def set_up_logging(config: LogConfig) -> None:
    """Send this product's log lines, and others' warnings, to standard error."""
    kind = config.format or ("text" if sys.stderr.isatty() else "json")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_ecs() if kind == "json" else _text())
    handler.addFilter(without_texts)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("proxy").setLevel(config.level.upper())
    logging.getLogger("aiohttp.server").addFilter(without_quotes)
    logging.getLogger("asyncio").addFilter(without_objects)


def _text() -> logging.Formatter:
    return logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S")


def _ecs() -> logging.Formatter:
    import ecs_logging

    return ecs_logging.StdlibFormatter(exclude_fields=["log.original", "process", "log.origin"])


def without_quotes(record: logging.LogRecord) -> bool:
    """What aiohttp's server logs, without the bytes of callers that it quotes.

    Nothing is left of a caller that has gone away: that is no error.
    """
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, ConnectionError):
        return False
    record.msg, record.args = "a request was cut off: %s", (type(error).__name__,)
    record.exc_info = record.exc_text = None
    return True


def without_objects(record: logging.LogRecord) -> bool:
    """What asyncio complains of, without the objects that it prints below it."""
    record.msg, record.args = record.getMessage().partition("\n")[0], ()
    return True


def without_texts(record: logging.LogRecord) -> bool:
    """Where an exception came from and of what kind it is; what it says may be anything."""
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        record.stack_info = "\n".join(_places(error))
        record.exc_info = record.exc_text = None
    return True


def _places(error: BaseException) -> Iterator[str]:
    """The frames and the name of an exception, after those of what led to it."""
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None:
        yield from _places(before)
    for part in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
        yield from _places(part)
    yield "".join(traceback.format_tb(error.__traceback__)) + type(error).__qualname__
