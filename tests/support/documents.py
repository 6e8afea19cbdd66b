"""What the documents tell users to type, as tests can run it.

A document is README.md, a page of docs/, or a file of configs/. Its commands stand in fenced
blocks, in indented ones, in code spans, and in comments of YAML. In what a command is shown to
print, `…` stands for anything, numbers with a fraction for any number, and a time for any time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from testbed.processes import ROOT

DOCUMENTS: Final = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "configs").glob("*.yml")),
]
# A text that begins with one of these is a command.
PROGRAMS: Final = (
    *("make", "python", "pip", "docker", "openssl", "curl", "hugging-face-proxy", "set", "export"),
    *("chmod", "kill", "uv", "npm", "git"),
)
# Samples of output, in fences of their own: tests/unit/test_operations.py checks those of its page,
# and tests/integration/test_documents.py what a script prints.
OUTPUT: Final = {("operations.md", "text"), ("operations.md", "json"), ("cookbook.md", "text")}
# What is not run, and why: the beginning of its text.
NOT_RUN: Final = {
    "docker compose up": "there is no container engine; tests/unit/test_compose.py checks its file",
    "docker build .": "there is no container engine; tests/unit/test_compose.py checks its file",
    "docker run": "there is no container engine; tests/integration/test_readonly.py does the same",
    "```\n                  ┌": "a drawing",
    "```\n  commands     ": "a drawing",
    "```\n  caller": "a drawing",
}
# What stands in a document, and the part of a test's surroundings that takes its place. The first
# that fits counts.
PLACEHOLDERS: Final = {
    "https://localhost:9200": "stock",
    "https://elasticsearch.example:9200": "stock",
    "http://localhost:9200": "open",
    "http://127.0.0.1:9200": "open",
    "localhost:9200": "open_address",
    "http://127.0.0.1:9201": "proxy",
    "http://localhost:9201": "proxy",
    "127.0.0.1:9201": "proxy_address",
    "0.0.0.0:9201": "proxy_address",
    "localhost:9201": "proxy_address",
    "http://127.0.0.1:8080": "provider",
    "127.0.0.1:8080": "provider_address",
    "https://….endpoints.huggingface.cloud/sparse": "sparse",
    "https://….endpoints.huggingface.cloud": "embed",
    "https://…/rerank": "rerank",
    "https://…/v1/chat/completions": "chat",
    "hf_…": "token",
    "ELASTIC_PASSWORD=…": "password",
    "/etc/hugging-face-proxy/": "folder",
}
SHOWN: Final = re.compile(
    r"(?P<any>…)|(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)|"
    r"(?P<number>-?(?<![\d.])\d+\.\d+(?![\d.]))|(?P<space>\s+)"
)
PATTERNS: Final = {
    "any": r"[\s\S]*?",
    "time": r"\S+ \S+",
    "number": r"-?\d[\d.eE+-]*",
    "space": r"\s+",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A part of a document that is meant for a machine."""

    document: Path
    section: str
    line: int
    kind: str  # the word behind the fence, "" for none; "indented", "span", "comment", "file"
    text: str

    def __str__(self) -> str:
        return f"{self.document.name}:{self.line}"

    @property
    def reason_not_to_run(self) -> str | None:
        text = f"```\n{self.text}" if self.kind == "" else self.text
        return next((why for start, why in NOT_RUN.items() if text.startswith(start)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command, and what it is shown to print."""

    text: str
    output: str

    @property
    def program(self) -> str:
        return self.text.split()[0]


def blocks(document: Path) -> list[Block]:
    """All of a document, in order."""
    text = document.read_text("utf-8")
    found = _of_yaml(document, text) if document.suffix == ".yml" else _of_markdown(document, text)
    return list(found)


def _of_yaml(document: Path, text: str) -> Iterator[Block]:
    for number, line in enumerate(text.splitlines(), 1):
        comment = line.partition("#")[2]
        spans = re.findall(r"`([^`]+)`", comment)
        kind = "span" if spans else "comment"
        for span in map(str.strip, spans or re.split(r"\s{3,}", comment.strip())):
            if span.startswith(tuple(f"{name} " for name in PROGRAMS)):
                yield Block(document=document, section="", line=number, kind=kind, text=span)


def _of_markdown(document: Path, text: str) -> Iterator[Block]:
    section, lines = "", text.splitlines()
    position = 0
    while position < len(lines):
        line, start = lines[position], position + 1
        if line.startswith("## "):
            section = line[3:]
        kind, inner = None, []
        if line.startswith("```"):
            end = lines.index("```", position + 1)
            kind, inner, position = line[3:], lines[position + 1 : end], end
        elif line.startswith("    ") and not lines[position - 1].strip():
            kind = "indented"
            while position < len(lines) and lines[position].startswith("    "):
                inner.append(lines[position][4:])
                position += 1
        if kind is None:
            for span in re.findall(r"`([^`]+)`", line):
                if re.fullmatch(rf"({'|'.join(PROGRAMS)}) .+", span):
                    yield Block(
                        document=document, section=section, line=start, kind="span", text=span
                    )
        else:
            text = "\n".join(inner)
            yield Block(document=document, section=section, line=start, kind=kind, text=text)
        position += 1


def commands(block: Block) -> list[Command]:
    """The commands of a block; in one of kind `console` they stand behind `$ `."""
    if block.kind != "console":
        lines = [line.partition("  #")[0].strip() for line in block.text.splitlines()]
        return [Command(text=line, output="") for line in lines if line]
    found: list[Command] = []
    for part in re.split(r"^\$ ", block.text, flags=re.M)[1:]:
        text, lines = "", part.splitlines()
        while lines:
            text += lines.pop(0)
            if text.count("'") % 2 == 0 and not text.endswith("\\"):
                break
            text += "\n"
        text = re.sub(r"\s+# .*$", "", text)
        found.append(Command(text=text, output="\n".join(lines).strip()))
    return found


def substituted(text: str, surroundings: Mapping[str, str]) -> str:
    """The text with its placeholders replaced."""
    pattern = "|".join(map(re.escape, PLACEHOLDERS))
    return re.sub(pattern, lambda found: surroundings[PLACEHOLDERS[found[0]]], text)


def is_as_shown(shown: str, printed: str) -> bool:
    """Whether a program printed what a document shows, apart from what differs each time."""
    return re.fullmatch(_pattern(shown), printed.strip()) is not None


def _pattern(shown: str) -> str:
    pattern, position = "", 0
    for found in SHOWN.finditer(shown.strip()):
        assert found.lastgroup is not None
        pattern += re.escape(shown.strip()[position : found.start()]) + PATTERNS[found.lastgroup]
        position = found.end()
    return pattern + re.escape(shown.strip()[position:])
