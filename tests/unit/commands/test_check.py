"""`check`: all findings, in order, and what the program ends with."""

from __future__ import annotations

import pytest

from proxy.commands import check as module
from proxy.commands.check import check
from proxy.commands.checks import files, nodes, ports, store
from proxy.commands.checks.findings import Finding, error, ok, warning
from proxy.config import load_settings


def found(monkeypatch: pytest.MonkeyPatch, *of_store: Finding) -> None:
    """Have the parts find that."""

    async def nothing(_: object) -> list[Finding]:
        return [ok("upstream")]

    async def in_store(_: object) -> list[Finding]:
        return list(of_store)

    monkeypatch.setattr(files, "check_files", lambda _: [ok("files")])
    monkeypatch.setattr(ports, "check_ports", lambda _: [warning("ports")])
    monkeypatch.setattr(nodes, "check_nodes", nothing)
    monkeypatch.setattr(store, "check_store", in_store)


@pytest.mark.parametrize(("last", "code"), [(ok("store"), 0), (error("store"), 1)])
def test_an_error_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], last: Finding, code: int
):
    found(monkeypatch, last)
    assert check(load_settings(None, {})) == code
    assert capsys.readouterr().out.splitlines() == [
        "ok      files",
        "warning ports",
        "ok      upstream",
        str(last),
    ]


def test_what_takes_too_long_is_named():
    assert str(module._too_late("store")).startswith("error   store: not done after 10 seconds")
