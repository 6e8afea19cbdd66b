"""Who may import whom, read out of the source; see the list, not the code below it.

Core does no I/O and imports core only. An edge imports core and the tools that edges share, never
another edge. The service imports core and gets its edges handed in. Only the composition root, and
the commands above it, know everyone.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import proxy

FOLDER: Final = Path(proxy.__file__).parent

CORE: Final = {
    "limits",
    "metrics",
    *("batching", "chat", "chunking", "chunks", "compatibility", "config", "endpoints", "errors"),
    *("failures", "filterpath", "formats", "inference", "javatext", "jsonreader", "masking"),
    *("mediatypes", "privileges", "ratelimit", "replies", "rest", "retry", "services", "sse"),
    *("urls", "validation", "xcontent"),
    *("wire", "wire.answers", "wire.bodies", "wire.headers", "wire.requests"),
}
PROTOCOL: Final = {"store"}  # the package itself: EndpointStore and its errors
TOOLS: Final = {"connections", "nodes", "pinning", "singleflight", "tls"}  # that edges share
STORES: Final = {
    *("store.answers", "store.cached", "store.elasticsearch", "store.index", "store.sealed"),
    *("store.sqlite", "store.transport"),
}
LANE: Final = {
    *("lane", "lane.caller", "lane.listener", "lane.pool", "lane.states", "lane.upstream"),
}
EDGES: Final = {"auth", "egress", "forward", "huggingface", "server", *LANE, *STORES}
APPLICATION: Final = {"service", "handlers", "api"}
TOP: Final = {"admin", "app", "__main__", "logs", "workers"}

ALLOWED: Final[dict[str, set[str]]] = {
    **dict.fromkeys(CORE, CORE),
    **dict.fromkeys(TOOLS, CORE | TOOLS),
    **dict.fromkeys(EDGES - STORES, CORE | TOOLS),
    **dict.fromkeys(STORES, CORE | TOOLS | PROTOCOL | STORES),  # a package knows itself
    **dict.fromkeys(LANE, CORE | TOOLS | LANE),
    "service": CORE | PROTOCOL,
    "handlers": CORE | {"service"},
    "api": CORE | PROTOCOL | {"service", "handlers"},
    "admin": CORE | {"api"},
    "logs": {"config"},
    "workers": set(),
    # What opens a store knows the stores; it imports them when it is called.
    "store": CORE | {"store.cached", "store.elasticsearch", "store.sqlite"},
}

NO_IO: Final = {
    *("aiohttp", "elasticsearch", "http.client", "socket", "sqlite3", "ssl", "subprocess"),
    *("threading", "urllib.request", "uvloop"),
}


def modules() -> dict[str, Path]:
    """Every module of the product but the local provider, which is a program of its own."""
    found = {}
    for path in FOLDER.rglob("*.py"):
        parts = path.relative_to(FOLDER).with_suffix("").parts
        name = ".".join(parts).removesuffix(".__init__")
        if parts[0] != "provider" and name != "__init__":
            found[name] = path
    return found


MODULES: Final = modules()


class WithoutTypes(ast.NodeTransformer):
    """Drops what is imported for the type checker alone."""

    def visit_If(self, node: ast.If) -> ast.If | None:
        only_types = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        return None if only_types else node


def imports(path: Path, *, types: bool = True) -> Iterator[str]:
    """Full names of all that a file imports, wherever in it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree if types else WithoutTypes().visit(tree)):
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom(module=str(module), level=0):
                if module == "proxy":
                    yield from (f"proxy.{alias.name}" for alias in node.names)
                else:
                    yield module
            case ast.ImportFrom():
                pytest.fail(f"{path}: a relative import")


def ours(path: Path, *, types: bool = True) -> set[str]:
    names = imports(path, types=types)
    return {name.removeprefix("proxy.") for name in names if name.startswith("proxy.")}


def test_every_module_has_its_place():
    assert set(MODULES) == CORE | PROTOCOL | TOOLS | EDGES | APPLICATION | TOP


@pytest.mark.parametrize("name", sorted(set(MODULES) - {"app", "__main__"}))
def test_a_module_imports_only_what_it_may(name):
    assert ours(MODULES[name]) <= ALLOWED[name]


@pytest.mark.parametrize("name", sorted(CORE))
def test_core_does_no_io(name):
    assert not NO_IO.intersection(imports(MODULES[name]))


@pytest.mark.parametrize("name", sorted(set(MODULES) - {"__main__"}))
def test_only_the_commands_know_the_local_provider(name):
    assert not any(module.split(".")[0] == "provider" for module in ours(MODULES[name]))


def test_the_local_provider_stands_for_itself():
    for path in (FOLDER / "provider").rglob("*.py"):
        assert all(name.startswith("provider") for name in ours(path)), path


def test_nothing_imports_the_composition_root_but_the_commands():
    for name, path in MODULES.items():
        if name != "__main__":
            assert not ours(path).intersection({"app", "__main__"}), name


def test_there_is_no_circle():
    graph = {
        name: ours(path, types=False) & set(MODULES) - {name} for name, path in MODULES.items()
    }
    graph["store"] = graph["store"] - EDGES  # imported when called
    while graph:
        leaves = {name for name, needed in graph.items() if not needed & set(graph)}
        assert leaves, f"a circle among {sorted(graph)}"
        graph = {name: needed for name, needed in graph.items() if name not in leaves}


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
    assert found <= {"api", "singleflight", "store.sqlite", "workers"}


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
