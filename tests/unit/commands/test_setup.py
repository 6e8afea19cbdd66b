"""`setup` against an upstream that answers as told; tests/integration has a real one."""

from __future__ import annotations

import os
import pty
import re
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from proxy.commands.main import main
from tests.support.stubs import FaultyServer, Reply, in_thread, json_reply

GRANTED: Final = {"read": True, "write": True, "create_index": True}
MADE: Final = {"id": "an-id", "name": "hugging-face-proxy", "api_key": "a-key"}
HEADERS: Final = {"Content-Type": "application/json", "X-Elastic-Product": "Elasticsearch"}
INDEX: Final = "hugging-face-inference-endpoints"


def answer(value: Any, status: int = 200) -> Reply:
    return json_reply(value, status, headers=HEADERS)


def rights(**granted: bool) -> Reply:
    every = GRANTED | granted
    version = {"cluster:monitor/main": every.pop("version", True)}
    return answer({"has_all_requested": False, "cluster": version, "index": {INDEX: every}})


def failure(status: int, kind: str, reason: str) -> Reply:
    return answer({"error": {"type": kind, "reason": reason}, "status": status}, status)


@pytest.fixture
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELASTIC_PASSWORD", "secret")


@pytest.mark.usefixtures("password")
def test_the_lines_can_be_read_by_a_shell(capsys: pytest.CaptureFixture[str]) -> None:
    with in_thread(FaultyServer([rights(), answer(MADE)])) as server:
        assert main(["setup", "--upstream", server.url, "--ca", "a b.crt"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"# The API key hugging-face-proxy (an-id) may read, write, create_index on {INDEX} "
        "and ask for the version, and nothing else.",
        f"export ELASTICSEARCH_URL={server.url}",
        f"export HFPROXY_UPSTREAM_CA_FILE='{Path.cwd()}/a b.crt'",
        "export ELASTIC_API_KEY=YW4taWQ6YS1rZXk=",
    ]
    _, made = server.calls
    assert made.json["role_descriptors"] == {
        "endpoint-store": {
            "cluster": ["cluster:monitor/main"],
            "indices": [{"names": [INDEX], "privileges": list(GRANTED)}],
        }
    }


@pytest.mark.usefixtures("password")
def test_a_user_who_may_not_ask_for_the_version_can_make_the_key(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with in_thread(FaultyServer([rights(version=False), answer(MADE)])) as server:
        assert main(["setup", "--upstream", server.url]) == 0
    assert f"create_index on {INDEX}, and nothing else." in capsys.readouterr().out
    assert server.calls[1].json["role_descriptors"]["endpoint-store"]["cluster"] == []


@pytest.mark.usefixtures("password")
@pytest.mark.parametrize(
    ("replies", "told"),
    [
        ([failure(401, "security_exception", "no")], "does not know the user [elastic]"),
        ([rights(write=False)], "The user [elastic] lacks [write] on the index"),
        ([rights(), failure(403, "security_exception", "no")], "may not make API keys"),
        (
            [rights(), failure(500, "exception", "api keys are not enabled")],
            "has API keys switched off",
        ),
        ([failure(503, "unavailable", "secret")], "answered 503 unavailable"),
        (
            [answer({"error": "no handler found for uri [/x]"}, 400)],
            "has its security switched off",
        ),
        ([json_reply({"a": 1})], "is no Elasticsearch"),
        ([Reply(fault="reset")], "Cannot reach [http://127.0.0.1:"),
    ],
)
def test_a_failure_is_one_line(
    replies: list[Reply], told: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "proxy.env"
    with in_thread(FaultyServer(replies)) as server:
        assert main(["setup", "--upstream", server.url, "--write", str(file)]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert told in printed.err
    assert re.fullmatch("error: .+\n", printed.err)
    assert "secret" not in printed.err
    assert not file.exists()


def test_without_an_upstream_there_is_nobody_to_ask(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["setup"]) == 1
    assert capsys.readouterr().err == "error: [upstream.url] is missing: --upstream URL\n"


def test_the_password_is_asked_for_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without being shown there."""
    monkeypatch.delenv("ELASTIC_PASSWORD", raising=False)
    with in_thread(FaultyServer([rights(), answer(MADE)])) as server:
        pid, terminal = pty.fork()
        if not pid:
            os.execv(
                sys.executable, [sys.executable, "-m", "proxy", "setup", "--upstream", server.url]
            )
        shown = b""
        while b"Password of elastic: " not in shown:
            shown += os.read(terminal, 1024)
        os.write(terminal, b"secret\n")
        try:
            while piece := os.read(terminal, 1024):
                shown += piece
        except OSError:  # how the end of a terminal shows on Linux
            pass
        _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0
    assert b"export ELASTIC_API_KEY=" in shown
    assert b"secret" not in shown
    assert server.calls[0].headers["Authorization"] == "Basic ZWxhc3RpYzpzZWNyZXQ="
