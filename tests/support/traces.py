"""Search for secrets, plain or in common encodings, in all that a run has produced."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

from testbed.processes import Process, children_of


def spellings(secret: str | bytes) -> Iterator[tuple[str, bytes]]:
    """The encodings of a secret to search for: a name and the bytes of each."""
    data = secret.encode() if isinstance(secret, str) else secret
    text = data.decode("latin-1")
    yield "plain", data
    yield "reversed", data[::-1]
    yield "hex", data.hex().encode()
    yield "HEX", data.hex().upper().encode()
    yield "URL-encoded", quote(data, safe="").encode()
    yield "URL-encoded throughout", "".join(f"%{byte:02X}" for byte in data).encode()
    yield "UTF-16", text.encode("utf-16-le")
    yield "JSON-escaped throughout", "".join(f"\\u{byte:04x}" for byte in data).encode()
    for lead in range(3):
        for name, alphabet in (("base64", b"+/"), ("base64url", b"-_")):
            yield f"{name}, {lead} bytes in", _base64_within(data, lead, alphabet)


def _base64_within(data: bytes, lead: int, alphabet: bytes) -> bytes:
    """The characters that any base64 text has where `data` starts `lead` bytes (mod 3) into it."""
    encoded = base64.b64encode(bytes(lead) + data, alphabet)
    first = (lead * 8 + 5) // 6  # characters that also encode bits of what comes before
    last = (lead + len(data)) * 8 // 6  # and those that also encode bits of what follows
    return encoded[first:last]


def found_in(pieces: Mapping[str, bytes], secrets: Mapping[str, str | bytes]) -> list[str]:
    """One line for each place where a secret was found."""
    return [
        f"{name} stands in {where}, {spelling}"
        for name, secret in secrets.items()
        for spelling, text in spellings(secret)
        for where, content in pieces.items()
        if text in content
    ]


def files_below(folder: Path) -> dict[str, bytes]:
    """The contents of all files below a folder, by path; a file may vanish meanwhile."""
    found = {}
    for path in folder.rglob("*"):
        try:
            if path.is_file():
                found[str(path)] = path.read_bytes()
        except FileNotFoundError:
            continue
    return found


def of_process(process: Process) -> dict[str, bytes]:
    """What a process has written, and its command lines, which any user can read."""
    found = {"its output": process.output.encode()}
    for pid in (process.pid, *children_of(process.pid)):
        found[f"/proc/{pid}/cmdline"] = Path(f"/proc/{pid}/cmdline").read_bytes()
    return found
