"""Workers fork, so each test runs in an interpreter of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager, suppress

import pytest

from proxy.commands.workers import reserve

PRELUDE = """
import os, signal, sys, time
from proxy.commands.workers import Workers

def say(text):
    os.write(1, (text + "\\n").encode())

def serve(ready):
    stopped = []  # an Event's set() would wait for ever for a wait() that it interrupts
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    ready()
    say(f"ready {os.getpid()}")
    while not stopped:
        time.sleep(0.05)
    say(f"ended {os.getpid()}")
"""


@contextmanager
def running(script: str):
    """The script in a session of its own, which ends with the block, whatever became of it."""
    child = subprocess.Popen(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield child
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        for stream in (child.stdout, child.stderr):
            assert stream is not None
            stream.close()


def ready_pids(child, count: int) -> list[int]:
    return [int(child.stdout.readline().split()[1]) for _ in range(count)]


def finish(child) -> tuple[int, str, str]:
    out, err = child.communicate(timeout=10)
    return child.returncode, out, err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_them_all(number):
    with running("sys.exit(Workers(3, serve).run())") as child:
        pids = ready_pids(child, 3)
        assert len(set(pids)) == 3
        child.send_signal(number)
        code, out, _ = finish(child)
    assert code == 0
    assert sorted(out.split()) == sorted([*["ended"] * 3, *map(str, pids)])


def test_a_worker_that_dies_is_replaced():
    with running("sys.exit(Workers(2, serve).run())") as child:
        first, second = ready_pids(child, 2)
        os.kill(first, signal.SIGKILL)
        (third,) = ready_pids(child, 1)
        assert third not in (first, second)
        child.send_signal(signal.SIGTERM)
        code, out, _ = finish(child)
    assert code == 0
    assert str(first) not in out


def test_none_outlives_a_parent_that_is_killed():
    with running("sys.exit(Workers(2, serve).run())") as child:
        pids = ready_pids(child, 2)
        child.kill()
        _, out, _ = finish(child)  # which waits for the last that can still write
    assert sorted(out.split()) == sorted([*["ended"] * 2, *map(str, pids)])


def test_a_worker_that_starts_as_its_parent_is_killed_has_no_fault():
    script = """
    def work(ready):
        signal.signal(signal.SIGTERM, lambda *_: say("told to end"))
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(0.3)
        ready()
        say("as usual")

    Workers(1, work).run()
    """
    with running(script) as child:
        _, out, err = finish(child)
    assert (out, err) == ("told to end\nas usual\n", "")


def test_a_worker_that_cannot_start_ends_the_others_and_is_said_once():
    script = """
    def work(ready):
        raise OSError("address in use")

    sys.exit(Workers(3, work).run())
    """
    with running(script) as child:
        code, _, err = finish(child)
    assert code == 1
    assert err.count("error: address in use") == 1


FLAKY = """
starts = 0

def work(ready):
    if starts in {failing}:
        raise OSError("not now")
    serve(ready)

class Counting(Workers):
    def _start(self):
        global starts
        starts += 1
        return super()._start()

sys.exit(Counting(2, work).run())
"""


def test_a_worker_that_cannot_be_replaced_is_replaced_later():
    with running(FLAKY.format(failing={3, 4})) as child:
        first, second = ready_pids(child, 2)
        began = time.monotonic()
        os.kill(first, signal.SIGKILL)
        (third,) = ready_pids(child, 1)
        assert time.monotonic() - began > 1.9  # it paused twice
        os.kill(second, 0)  # the other one served on
        child.send_signal(signal.SIGTERM)
        code, out, err = finish(child)
    assert code == 0
    assert sorted(out.split()) == sorted([*["ended"] * 2, str(second), str(third)])
    assert err.count("error: not now") == 2


def test_what_the_first_can_start_with_others_can_later():
    with running(FLAKY.format(failing={2})) as child:
        pids = ready_pids(child, 2)
        child.send_signal(signal.SIGTERM)
        code, out, _ = finish(child)
    assert code == 0
    assert sorted(out.split()) == sorted([*["ended"] * 2, *map(str, pids)])


def test_workers_are_replaced_even_when_none_is_left():
    with running(FLAKY.format(failing={3})) as child:
        for pid in ready_pids(child, 2):
            os.kill(pid, signal.SIGKILL)
        new = ready_pids(child, 2)
        child.send_signal(signal.SIGTERM)
        code, out, _ = finish(child)
    assert code == 0
    assert sorted(out.split()) == sorted([*["ended"] * 2, *map(str, new)])


def test_a_signal_ends_the_wait_for_a_replacement():
    with running(FLAKY.format(failing=set(range(3, 100)))) as child:
        for pid in ready_pids(child, 2):
            os.kill(pid, signal.SIGKILL)
        assert any("not now" in line for line in child.stderr)  # waits for it
        child.send_signal(signal.SIGTERM)
        code, out, _ = finish(child)
    assert (code, out) == (0, "")


def test_a_signal_while_they_start_ends_those_there_are():
    script = """
    parent = os.getpid()

    def work(ready):
        os.kill(parent, signal.SIGTERM)
        serve(ready)

    sys.exit(Workers(3, work).run())
    """
    with running(script) as child:
        code, _, err = finish(child)
    assert (code, err) == (0, "")


@pytest.mark.parametrize("side", ["child", "parent"])
def test_a_signal_right_after_the_fork_is_not_lost(side):
    script = f"""
    os.register_at_fork(after_in_{side}=lambda: os.kill(os.getpid(), signal.SIGTERM))

    def work(ready):
        ready()
        while True:
            time.sleep(1)

    sys.exit(Workers(1, work).run())
    """
    with running(script) as child:
        child.communicate(timeout=2)


def test_a_reserved_address_can_be_shared():
    held, port = reserve("127.0.0.1", 0)
    with held, socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        with socket.create_connection(("127.0.0.1", port)):
            pass


def test_an_address_that_is_taken_cannot_be_reserved():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(OSError, match="in use"):
            reserve("127.0.0.1", other.getsockname()[1])
