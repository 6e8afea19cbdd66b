"""What holds for the whole of the product's source; who may import whom stands in setup.cfg."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

import proxy
from proxy.config.values import KEYS

FOLDER: Final = Path(proxy.__file__).parent

# Rooms, and modules of the ground, that do no I/O.
PURE: Final = {
    *("config", "http1", "inference", "rest", "xcontent"),
    *("ground.authorization", "ground.crossorigin", "ground.errors", "ground.interception"),
    *("ground.masking", "ground.sse"),
}
IO: Final = {
    *("aiohttp", "elasticsearch", "http.client", "socket", "sqlite3", "ssl", "subprocess"),
    *("threading", "urllib.request", "uvloop"),
}


def modules() -> dict[str, Path]:
    """Every module of the product but the model server, which is a program of its own."""
    found = {}
    for path in FOLDER.rglob("*.py"):
        parts = path.relative_to(FOLDER).with_suffix("").parts
        name = ".".join(parts).removesuffix(".__init__")
        if parts[0] != "modelserver" and name != "__init__":
            found[name] = path
    return found


MODULES: Final = modules()
UNIT: Final = Path(__file__).parent
# Modules with functions that have no file of unit tests, by the reason: to be made fewer.
UNTESTED: Final = {
    "it joins the parts: every test of the application runs it": {"app", "assembly"},
    "it is a process: tests/integration starts it": {*("commands.native", "commands.serve")},
    "it has protocols, and a default that finds nothing": {"inference.ports"},
    "it is what all handlers of the layer work with: their tests are its own": {
        *("semantic.exchange", "semantic.layer")
    },
    "it is a part of forwarding: test_forward.py asks it": {"upstream.passingback"},
}


def imports(path: Path) -> Iterator[str]:
    """Full names of all modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module
            case ast.ImportFrom():
                pytest.fail(f"{path}: a relative import")


@pytest.mark.parametrize(
    "name", [name for name in MODULES if name in PURE or name.partition(".")[0] in PURE]
)
def test_pure_rooms_do_no_io(name):
    assert not IO.intersection(imports(MODULES[name]))


def test_the_pure_rooms_are_there():
    assert {name.partition(".")[0] for name in MODULES} | MODULES.keys() >= PURE


def test_every_exception_becomes_an_answer_in_one_place():
    """`except Exception` stands where answers are made, and where one is passed on whole."""
    found = set()
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler):
                caught = {
                    one.id for one in ast.walk(node.type or node) if isinstance(one, ast.Name)
                }
                if node.type is None or caught & {"Exception", "BaseException"}:
                    found.add(name)
    assert found <= {"api.answers", "ground.singleflight", "commands.workers"}


def test_no_module_logs_a_body_header_or_token():
    """The arguments of log calls, by name; what is logged is listed, not guessed."""
    forbidden = {"body", "headers", "api_key", "token", "password", "data", "raw", "reply"}
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if not (isinstance(node.func.value, ast.Name) and node.func.value.id == "log"):
                continue
            names = {
                part.attr if isinstance(part, ast.Attribute) else part.id
                for argument in node.args
                for part in ast.walk(argument)
                if isinstance(part, ast.Attribute | ast.Name)
            }
            assert not names & forbidden, f"{name}:{node.lineno}"


def test_every_session_bounds_what_its_servers_send():
    """aiohttp's own connector has no bounds; ours, `proxy.ground.sessions.Connector`, has."""
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            assert node.func.id != "TCPConnector", name
            if node.func.id == "ClientSession":
                assert "connector" in {keyword.arg for keyword in node.keywords}, name


@pytest.mark.parametrize("key", KEYS)
def test_every_key_of_the_configuration_is_used(key: str):
    """Beyond the room that reads and checks it."""
    assert key.rpartition(".")[2] in _attributes_used()


@cache
def _attributes_used() -> frozenset[str]:
    """The attributes that the product's modules read, but for those of the configuration."""
    trees = (
        ast.parse(path.read_text(encoding="utf-8"))
        for name, path in MODULES.items()
        if name.partition(".")[0] != "config"
    )
    nodes = (node for tree in trees for node in ast.walk(tree))
    return frozenset(node.attr for node in nodes if isinstance(node, ast.Attribute))


MAPS: Final = {
    name: text
    for name, path in MODULES.items()
    if "\nWhere to look:\n" in (text := ast.get_docstring(ast.parse(path.read_text())) or "")
}


@pytest.mark.parametrize("room", MAPS)
def test_a_map_of_a_room_names_all_of_its_modules(room: str):
    """Each stands at the beginning of a line, alone or with others, and none that is not there."""
    lines = MAPS[room].partition("Where to look:")[2].splitlines()
    entries = [
        re.match(r" {4}((?:[a-z0-9]+, )*[a-z0-9]+)(?: {2,}|$| [a-z])", line) for line in lines
    ]
    named = [name for entry in entries if entry for name in entry[1].split(", ")]
    there = [name.rpartition(".")[2] for name in MODULES if name.rpartition(".")[0] == room]
    assert sorted(named) == sorted(there)


def test_the_rooms_of_many_modules_have_maps():
    rooms = {"api", "ground", "huggingface", "inference", "lane", "upstream", "xcontent"}
    assert MAPS.keys() >= rooms


def does_something(path: Path) -> bool:
    """Whether a module has a function with more in it than a docstring, as protocols have."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return any(
        not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        for function in functions
        for statement in function.body
    )


def test_every_module_has_a_file_of_unit_tests():
    """`proxy/<room>/<module>.py` is tested by `tests/unit/<room>/test_<module>.py`."""
    missing = set()
    for name, path in MODULES.items():
        own = UNIT / path.relative_to(FOLDER).with_name(f"test_{path.name}")
        if path.name != "__init__.py" and not own.exists() and does_something(path):
            missing.add(name)
    assert missing == {name for names in UNTESTED.values() for name in names}
