"""The command line, without a proxy behind it."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from proxy.commands.main import main


def test_check_prints_every_key_in_force(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "proxy.yml"
    file.write_text("workers: 2\nlimits: {calls: 5}\n", encoding="utf-8")
    monkeypatch.setenv("HFPROXY_LIMITS_CALLS", "6")
    monkeypatch.setenv("HFPROXY_UPSTREAM_API_KEY", "a-secret")
    assert main(["check", "--config", str(file), "--workers", "3", "--no-lane"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for line in ("workers: 3", "limits.calls: 6", "lane: False", "upstream.api_key: ********"):
        assert line in lines
    assert "upstream.url: " in lines


@pytest.mark.parametrize("command", ["serve", "check", "rekey"])
def test_a_bad_configuration_is_one_line(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--workers", "0"]) == 1
    assert capsys.readouterr().err == "error: [workers] must be 1 or more\n"


def test_no_command_leaves_a_core_file() -> None:
    assert main(["check"]) == 0
    assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)
