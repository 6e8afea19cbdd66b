"""The command line, without a proxy behind it."""

from __future__ import annotations

import resource
import sys
from importlib import metadata
from pathlib import Path

import pytest

from proxy.commands.main import main
from proxy.config import Config, describe


def test_the_settings_are_printed_with_where_each_comes_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "proxy.yml"
    file.write_text("workers: 2\nlimits: {calls: 5, streams: 7}\n", encoding="utf-8")
    monkeypatch.setenv("HFPROXY_LIMITS_CALLS", "6")
    monkeypatch.setenv("HFPROXY_UPSTREAM_API_KEY", "a-secret")
    monkeypatch.setenv("ELASTICSEARCH_PASSWD", "another-secret")
    flags = ["--config", str(file), "--workers", "3", "--no-lane"]
    assert main(["check", "--config-only", *flags]) == 0
    lines = capsys.readouterr().out.splitlines()
    for line in (
        "workers: 3  # flag",
        "limits.calls: 6  # environment HFPROXY_LIMITS_CALLS",
        "limits.streams: 7  # file",
        "lane: False  # flag",
        "upstream.api_key: ********  # environment HFPROXY_UPSTREAM_API_KEY",
        "upstream.url:   # default",
    ):
        assert line in lines
    assert lines[-1].startswith("# warning: the environment variable [ELASTICSEARCH_PASSWD] is not")
    assert "secret" not in str(lines)
    assert len(lines) == len(describe(Config())) + 1


@pytest.mark.parametrize("command", ["serve", "check", "rekey"])
def test_a_bad_configuration_is_one_line(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--workers", "0"]) == 1
    assert capsys.readouterr().err == "error: [workers] must be 1 or more\n"


def test_no_command_leaves_a_core_file() -> None:
    assert main(["check", "--config-only"]) == 0
    assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)


def test_the_version_is_told_with_pythons(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    told = f"hugging-face-proxy {metadata.version('elasticsearch-hugging-face-proxy')}, Python 3."
    assert capsys.readouterr().out.startswith(told)


@pytest.mark.parametrize(
    ("called", "name"),
    [
        ("/somewhere/bin/hugging-face-proxy", "hugging-face-proxy"),
        ("hugging-face-proxy.exe", "hugging-face-proxy"),
        ("/somewhere/proxy/__main__.py", "python -m proxy"),
    ],
)
@pytest.mark.parametrize("command", [[], ["check"], ["provider"]])
def test_the_help_names_the_command_as_it_was_called(
    called: str,
    name: str,
    command: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", [called])
    with pytest.raises(SystemExit):
        main([*command, "--help"])
    assert capsys.readouterr().out.startswith(f"usage: {' '.join([name, *command])} [-h]")


def test_the_help_names_the_installed_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "hugging-face-proxy is short for python -m proxy" in told
