"""Looking for secrets in whatever a run has produced, in every spelling that hides little."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

from tests.processes import Process


def spellings(secret: str) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each way in which a secret can stand somewhere."""
    data = secret.encode()
    yield "plain", data
    yield "reversed", data[::-1]
    yield "hex", data.hex().encode()
    yield "HEX", data.hex().upper().encode()
    yield "URL-encoded", quote(secret, safe="").encode()
    yield "URL-encoded throughout", "".join(f"%{byte:02X}" for byte in data).encode()
    yield "UTF-16", secret.encode("utf-16-le")
    yield "JSON-escaped throughout", "".join(f"\\u{ord(char):04x}" for char in secret).encode()
    for lead in range(3):
        for name, alphabet in (("base64", b"+/"), ("base64url", b"-_")):
            yield f"{name}, {lead} bytes in", _base64_within(data, lead, alphabet)


def _base64_within(data: bytes, lead: int, alphabet: bytes) -> bytes:
    """What is sure to stand in the base64 of a text that has `data` after `lead` bytes, mod 3."""
    encoded = base64.b64encode(bytes(lead) + data, alphabet)
    first = (lead * 8 + 5) // 6  # characters that hold a bit of what comes before
    last = (lead + len(data)) * 8 // 6  # and those that hold one of what follows
    return encoded[first:last]


def found_in(pieces: Mapping[str, bytes], secrets: Mapping[str, str]) -> list[str]:
    """Where a secret stands: a line each."""
    return [
        f"{name} stands in {where}, {spelling}"
        for name, secret in secrets.items()
        for spelling, text in spellings(secret)
        for where, content in pieces.items()
        if text in content
    ]


def files_below(folder: Path) -> dict[str, bytes]:
    """All files of a folder, by path; some may go while others are read."""
    found = {}
    for path in folder.rglob("*"):
        try:
            if path.is_file():
                found[str(path)] = path.read_bytes()
        except FileNotFoundError:
            continue
    return found


def of_process(process: Process) -> dict[str, bytes]:
    """What anybody on the machine, or the process's owner, can see of it, and all it has said."""
    folder = Path(f"/proc/{process.pid}")
    found = {f"/proc/{name}": (folder / name).read_bytes() for name in ("cmdline", "environ")}
    return found | {"its output": process.output.encode()}
