"""Reading commands out of documents; that none of them is overlooked, and that each can exist."""

from __future__ import annotations

import configparser
import re
import shlex
from pathlib import Path
from typing import Final

import pytest

from proxy.commands.main import main
from testbed.processes import ROOT
from tests.support.documents import (
    DOCUMENTS,
    NOT_RUN,
    OUTPUT,
    Block,
    Command,
    blocks,
    commands,
    is_as_shown,
    substituted,
)

ALL: Final = [block for document in DOCUMENTS for block in blocks(document)]
RUN_WHOLE: Final = ("console", "python")  # by tests/integration/test_documents.py
COMMANDS: Final = [
    pytest.param(command, id=f"{block}-{command.text.splitlines()[0][:40]}")
    for block in ALL
    if block.kind in ("console", "indented", "span", "comment") and not block.reason_not_to_run
    for command in commands(block)
]
TARGETS: Final = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
WORDS: Final = {"FILE": "configs/proxy.yml", "HOST:PORT": "127.0.0.1:9201"}


def page(tmp_path: Path, text: str) -> list[Block]:
    file = tmp_path / "page.md"
    file.write_text(text, encoding="utf-8")
    return blocks(file)


# The reader


def test_all_kinds_of_blocks_are_found(tmp_path: Path) -> None:
    text = (
        "# T\n\n```console\n$ a\n```\n\n## S\n\n    make x  # y\n\nUse `pip install .` or `that`.\n"
    )
    found = [(block.kind, block.section, block.line, block.text) for block in page(tmp_path, text)]
    assert found == [
        ("console", "", 3, "$ a"),
        ("indented", "S", 9, "make x  # y"),
        ("span", "S", 11, "pip install ."),
    ]


def test_a_console_has_commands_with_what_they_print(tmp_path: Path) -> None:
    [block] = page(tmp_path, "```console\n$ one 'a\nb'\nout\n\n$ two &  # why\n$ three\n```\n")
    assert commands(block) == [
        Command(text="one 'a\nb'", output="out"),
        Command(text="two &", output=""),
        Command(text="three", output=""),
    ]


def test_comments_of_yaml_hold_commands(tmp_path: Path) -> None:
    file = tmp_path / "x.yml"
    file.write_text("# make a      python -m b\nkey: # (`openssl rand -hex 32`)\n# No make of it\n")
    told = [block.text for block in blocks(file)]
    assert told == ["make a", "python -m b", "openssl rand -hex 32"]


@pytest.mark.parametrize(
    ("shown", "printed", "fits"),
    [
        ('{"a":0.25}', '{"a":1e-05}\n', True),
        ('{"a":0.25}', '{"a":"0.25"}', False),
        ("at 2026-11-28 15:12:25 INFO", "at 2027-01-01 00:00:00 INFO", True),
        ("[0.1,…]", "[7.25,-1,3]", True),
        ("one\ntwo", "one   two", True),
        ("9.2.4 *", "9.2.4  *", True),
        ("9.2.4 *", "9.2.5  *", False),
        ("", "unexpected", False),
    ],
)
def test_what_is_printed_may_differ_where_it_always_does(
    shown: str, printed: str, fits: bool
) -> None:
    assert is_as_shown(shown, printed) is fits


def test_placeholders_are_replaced_once() -> None:
    parts = {"open": "http://127.0.0.1:9201", "proxy": "no", "sparse": "http://s", "embed": "no"}
    text = "http://localhost:9200 https://….endpoints.huggingface.cloud/sparse"
    assert substituted(text, parts) == "http://127.0.0.1:9201 http://s"


# The documents


def test_no_block_is_overlooked() -> None:
    known = (*RUN_WHOLE, "indented", "span", "comment")
    rest = [block for block in ALL if block.kind not in known and not block.reason_not_to_run]
    assert [str(b) for b in rest if (b.document.name, b.kind) not in OUTPUT] == []


def test_nothing_is_excused_that_is_not_there() -> None:
    used = {block.reason_not_to_run for block in ALL} - {None}
    assert used == set(NOT_RUN.values())


def test_no_indented_or_quoted_text_is_more_than_a_command() -> None:
    odd = [b for b in ALL if b.kind == "console" and not b.text.startswith("$ ")]
    assert [str(block) for block in odd] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_can_be_given(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    words = [WORDS.get(word, word) for word in shlex.split(command.text.removesuffix(" &"))]
    match words:
        case ["make", target, *settings]:
            assert target in TARGETS
            assert all(re.fullmatch("[A-Z]+=.*", setting) for setting in settings)
        case ["make"]:
            pass
        case ["pip", "install", what]:
            folder, _, extras = what.partition("[")
            rules = configparser.ConfigParser()
            rules.read(ROOT / folder / "setup.cfg")
            names = filter(None, extras.rstrip("]").split(","))
            assert set(names) <= set(rules["options.extras_require"])
        case ["python", "-m", "proxy", *arguments] | ["hugging-face-proxy", *arguments]:
            _assert_known(arguments, capsys)
        case ["set" | "export" | "curl" | "openssl", *_]:
            pass  # tests/integration/test_documents.py runs these
        case _:
            pytest.fail(f"unknown: {command.text}")


def _assert_known(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Check that the command line takes the arguments: with `--help` behind them, it says so."""
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert [flag for flag in arguments if flag.startswith("--") and flag not in told] == []


@pytest.mark.parametrize("block", [b for b in ALL if b.kind == "python"], ids=str)
def test_a_sample_in_python_compiles(block: Block) -> None:
    compile(block.text, str(block), "exec")
