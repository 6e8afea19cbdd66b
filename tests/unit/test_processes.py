"""Child processes: waiting for what they write, and how they end."""

from __future__ import annotations

import os
import sys

import pytest

from testbed.processes import Process, ProcessFailed, Server, children_of, is_running
from tests.support.waiting import eventually


@pytest.fixture
def run():
    """Runs Python programs, and ends them."""
    running = []

    def run(program, kind=Process, **options):
        running.append(kind([sys.executable, "-uc", program], os.environ, **options))
        return running[-1]

    yield run
    for process in running:
        process.stop()


def test_lines_are_waited_for_one_after_the_other(run):
    process = run("import sys; print('one a'); print('two'); print('one b'); sys.stdin.read()")
    heard: list[str] = []
    assert process.wait_for("one", count=2, tell=heard.append) == "one b\n"
    assert heard == ["one a", "two"]


def test_one_that_ends_too_early_is_told_with_its_last_words(run):
    process = run("print('no room'); raise SystemExit(3)", name="the program")
    expected = r"the program ended with exit code 3 without \[ready\](?s:.*)no room"
    with pytest.raises(ProcessFailed, match=expected):
        process.wait_for("ready")
    with pytest.raises(ProcessFailed, match="the program ended with exit code 3"):
        process.check()


def test_one_that_stays_silent_is_told(run):
    process = run("import time; time.sleep(60)")
    with pytest.raises(ProcessFailed, match=r"has run for 0\.01 s without \[ready\]"):
        process.wait_for("ready", timeout=0.01)
    process.check()


def test_a_server_tells_its_address(run):
    server = run("print('listening on https://127.0.0.1:123, and more')", Server)
    server.wait_until_listening()
    assert (server.url, server.host, server.port) == ("https://127.0.0.1:123", "127.0.0.1", 123)


def test_what_it_writes_is_copied_to_a_file(run, tmp_path):
    process = run("print('text')", log=tmp_path / "log")
    assert process.wait() == 0
    assert (tmp_path / "log").read_text() == process.output == "text\n"


def test_its_guard_is_none_of_its_children(run):
    process = run("print('up'); input()")
    process.wait_for("up")
    assert children_of(process.pid) == []


def test_children_of_every_thread_are_found(run):
    program = """
import subprocess, sys, threading

def start():
    reading = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    child = subprocess.Popen(reading, stdin=subprocess.PIPE)
    print("child", child.pid)
    child.wait()

threading.Thread(target=start).start()
"""
    process = run(program)
    told = process.wait_for("child")
    assert children_of(process.pid) == [int(told.split()[1])]


def test_it_ends_when_its_parent_is_killed(run):
    program = """
import os, sys
from testbed.processes import Process
child = Process([sys.executable, "-uc", "print('up'); import time; time.sleep(60)"], os.environ)
child.wait_for("up")
print(child.pid)
os.kill(os.getpid(), 9)
"""
    parent = run(program)
    assert parent.wait() == -9
    child = int(parent.output)
    eventually(lambda: not is_running(child))
