"""Whether a process has ended, as another one of the same machine sees it."""

from __future__ import annotations

import os
import subprocess
import sys

import orjson
import pytest

from proxy.huggingface.lifesigns import has_ended, life_sign

OWN = life_sign() or {}

pytestmark = pytest.mark.skipif(not OWN, reason="this system does not tell")


@pytest.fixture
def child():
    """A process that has told its sign, and waits."""
    code = "import json; from proxy.huggingface.lifesigns import life_sign; "
    code += "print(json.dumps(life_sign()), flush=True); input()"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield process
        process.kill()


def test_a_process_that_runs_has_not_ended(child):
    assert not has_ended(life_sign())
    assert not has_ended(sign_of(child))


def test_one_that_was_killed_has_even_before_somebody_has_asked_how(child):
    sign = sign_of(child)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert has_ended(sign)
    child.wait()
    assert has_ended(sign)


def test_one_whose_number_another_one_has_now_has_ended():
    assert has_ended({**OWN, "began": "1"})


def test_nothing_is_known_of_those_elsewhere():
    assert not has_ended(None)
    assert not has_ended({**OWN, "machine": "another", "began": "1"})


def test_nothing_is_known_of_those_that_are_hidden(monkeypatch):
    def forbidden(pid: int, signal: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", forbidden)
    assert not has_ended({**OWN, "began": "1"})


def sign_of(child):
    return orjson.loads(child.stdout.readline())
