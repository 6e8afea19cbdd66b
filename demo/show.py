"""What the tour prints: steps, requests with their timing, results, and progress.

On a terminal in colour (unless NO_COLOR is set), with one line of progress that is updated;
otherwise plain text, with a line from time to time.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, TextIO

Say = Callable[[str], None]

WIDTH: Final = 88  # columns, at most
INDENT: Final = "   "
PATIENCE: Final = 2.0  # seconds until progress is shown on a terminal
PLAIN_PATIENCE: Final = 10.0  # the same without one, where each line stays; then twice as long
BODY_LINES: Final = 4
WORD: Final = 12  # columns; a streamed line is broken at a space in the last ones
STYLES: Final = {"bold": "1", "dim": "2", "red": "31", "green": "32", "cyan": "36"}
ESCAPES: Final = re.compile(r"\x1b\[[0-9;]*m")


class Screen:
    """The terminal, or whatever standard output is."""

    def __init__(
        self,
        stream: TextIO | None = None,
        environ: Mapping[str, str] = os.environ,
        patience: float | None = None,
    ) -> None:
        self._stream = sys.stdout if stream is None else stream
        self._is_terminal = self._stream.isatty() and environ.get("TERM") != "dumb"
        usual = PATIENCE if self._is_terminal else PLAIN_PATIENCE
        self._patience = usual if patience is None else patience
        self._coloured = self._is_terminal and not environ.get("NO_COLOR")
        columns = shutil.get_terminal_size((WIDTH, 24)).columns if self._is_terminal else WIDTH
        self.width = max(40, min(WIDTH, columns - 1))
        self._column = 0  # where streamed text continues

    def style(self, text: str, *styles: str) -> str:
        """`text` in the given STYLES, if colours are used."""
        if not self._coloured:
            return text
        codes = ";".join(STYLES[style] for style in styles)
        return f"\x1b[{codes}m{text}\x1b[0m"

    def line(self, text: str = "") -> None:
        self._write(f"{text}\n")

    def title(self, text: str) -> None:
        self.line(self.style(text, "bold"))

    def step(self, number: int, text: str) -> None:
        self.line(f"\n{self.style(f'{number}  {text}', 'bold')}")

    def note(self, text: str) -> None:
        """Print a result, wrapped."""
        for part in textwrap.wrap(text, self.width - len(INDENT)) or [""]:
            self.line(INDENT + part)

    def passed(self, text: str) -> None:
        """Print a check that holds."""
        self.line(f"{INDENT}{self.style('✓', 'green')} {text}")

    def missed(self, text: str) -> None:
        """Print something that did not work out, as may happen."""
        self.line(f"{INDENT}{self.style('·', 'cyan')} {text}")

    def failed(self, text: str) -> None:
        """Print a check that does not hold."""
        self.line(f"{INDENT}{self.style('✗', 'red')} {text}")

    def request(self, method: str, target: str, status: int, seconds: float, body: Any) -> None:
        """Print a request, its timing at the right margin, and its shortened body."""
        left = f"{INDENT}{self.style(method, 'cyan')} {target}"
        right = f"{status} {duration(seconds):>7}"
        gap = " " * max(2, self.width - visible(left) - len(right))
        self.line(left + gap + self.style(right, "dim"))
        if body is not None:
            for part in self._wrapped(brief(body)):
                self.line(f"{INDENT}    {self.style(part, 'dim')}")

    def table(self, rows: Iterable[Sequence[str]]) -> None:
        """Print rows of cells, left aligned; numbers must be padded."""
        rows = list(rows)
        widths = [max(visible(cell) for cell in column) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = (
                cell + " " * (width - visible(cell))
                for cell, width in zip(row, widths, strict=True)
            )
            self.line(INDENT + "   ".join(cells).rstrip())

    def stream(self, text: str) -> None:
        """Print a piece of a longer text at once; `end_stream` ends the text."""
        for piece in re.split(r"(\s+)", text):
            if piece.isspace() and ("\n" in piece or self._column > self.width - WORD):
                self.end_stream()
            elif piece and not (piece.isspace() and self._column == 0):
                indent = "" if self._column else INDENT
                self._write(indent + piece)
                self._column += len(indent + piece)

    def end_stream(self) -> None:
        if self._column:
            self._write("\n")
        self._column = 0

    @contextmanager
    def working(self, text: str) -> Iterator[Say]:
        """Show what is under way and for how long, until the block ends.

        The value is a function that changes the text.
        """
        width = self.width if self._is_terminal else None
        live = _LiveLine(text, self._write, width, self._patience)
        live.start()
        try:
            yield live.say
        finally:
            live.end()

    def _wrapped(self, text: str) -> list[str]:
        parts = textwrap.wrap(text, self.width - 2 * len(INDENT) - 1, break_on_hyphens=False)
        return [*parts[: BODY_LINES - 1], "…"] if len(parts) > BODY_LINES else parts

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


class _LiveLine(threading.Thread):
    """Shows a text and the elapsed seconds, until `end`."""

    def __init__(self, text: str, write: Say, width: int | None, patience: float) -> None:
        super().__init__(daemon=True)
        self._text = text
        self._write = write
        self._patience = patience
        self._width = width  # None: there is no terminal
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._over = threading.Event()

    def say(self, text: str) -> None:
        if text.startswith(" "):
            return  # says that work goes on, as this line does anyway
        self._text = text
        if self._width is not None:
            self._draw()

    def run(self) -> None:
        if self._width is not None:
            self._draw()
        wait = self._patience
        while not self._over.wait(wait):
            self._draw()
            wait = self._patience * 0.5 if self._width is not None else wait * 2

    def end(self) -> None:
        self._over.set()
        self.join()
        if self._width is not None:
            self._write("\r\x1b[K")

    def _draw(self) -> None:
        seconds = time.monotonic() - self._began
        passed = f" … {seconds:.0f} s" if seconds >= self._patience else " …"
        with self._lock:
            if self._over.is_set():
                return
            if self._width is None:
                self._write(f"{INDENT}{self._text}{passed}\n")
            else:
                room = self._width - len(INDENT) - len(passed)
                self._write(f"\r\x1b[K{INDENT}{shortened(self._text, room)}{passed}")


def visible(text: str) -> int:
    """The number of columns that a text takes, without colours."""
    return len(ESCAPES.sub("", text))


def duration(seconds: float) -> str:
    """`41 ms` or `1.3 s`."""
    return f"{seconds * 1000:.0f} ms" if seconds < 0.9995 else f"{seconds:.1f} s"


def shortened(text: str, length: int) -> str:
    """`text`, cut with an ellipsis if it is longer."""
    return text if len(text) <= length else f"{text[: length - 1].rstrip()}…"


def brief(value: Any) -> str:
    """A JSON value, shortened: long strings are cut, of long lists two members are left."""
    if isinstance(value, dict):
        pairs = (f"{json.dumps(name)}: {brief(inner)}" for name, inner in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list | tuple):
        shown = [brief(inner) for inner in (value if len(value) <= 3 else value[:2])]
        rest = [f"… {len(value) - len(shown)} more"] if len(value) > len(shown) else []
        return f"[{', '.join(shown + rest)}]"
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, bytes):  # a document, as helpers of the client write it
        return brief(json.loads(value))
    return json.dumps(shortened(value, 64) if isinstance(value, str) else value, ensure_ascii=False)
