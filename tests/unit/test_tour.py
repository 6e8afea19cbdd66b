"""The tour's own parts: what it prints, the processes it starts, and that its checks can fail."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys

import pytest
from elastic_transport import NodeConfig

from demo import show
from demo.corpus import Passage, Question
from demo.parts import Part
from demo.quality import Quality, chart, quality
from demo.searching import ask_questions, compare_ways
from demo.show import Screen, brief, duration, shortened, visible
from demo.steps import _Stream
from demo.tools import CheckFailed, Tour, WatchedTransport
from demo.tour import StepFailed, take_steps
from testbed.processes import ROOT, ProcessFailed
from tests.support.processes import clean_environ
from tests.support.waiting import eventually


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def plain():
    return Screen(io.StringIO(), {})


def printed(screen):
    return screen._stream.getvalue()


# What it prints


def test_a_terminal_gets_colours_unless_it_wants_none():
    assert Screen(Terminal(), {}).style("text", "bold", "red") == "\x1b[1;31mtext\x1b[0m"
    assert Screen(Terminal(), {"NO_COLOR": "1"}).style("text", "red") == "text"
    assert Screen(Terminal(), {"TERM": "dumb"}).style("text", "red") == "text"
    assert Screen(io.StringIO(), {}).style("text", "red") == "text"


def test_a_request_shows_its_timing_at_the_margin_and_its_body_in_short(plain):
    plain.request("PUT", "/_inference/x", 200, 0.0414, {"a": list(range(9)), "b": "y" * 500})
    first, *body = printed(plain).splitlines()
    assert first.startswith("   PUT /_inference/x  ")
    assert first.endswith("200   41 ms")
    assert len(first) == plain.width
    assert 0 < len(body) <= show.BODY_LINES
    assert "[0, 1, … 7 more]" in body[0]


def test_a_long_body_is_cut(plain):
    plain.request("POST", "/x", 200, 1, {f"key{number}": "word " * 10 for number in range(50)})
    lines = printed(plain).splitlines()
    assert len(lines) == 1 + show.BODY_LINES
    assert lines[-1].strip() == "…"
    assert max(map(len, lines)) <= plain.width


def test_a_table_is_aligned_whatever_its_colours():
    screen = Screen(Terminal(), {})
    screen.table([["a", screen.style("bb", "red"), "c"], ["aaa", "b", "c"]])
    lines = [show.ESCAPES.sub("", line) for line in printed(screen).splitlines()]
    assert lines == ["   a     bb   c", "   aaa   b    c"]


def test_a_stream_is_shown_at_once_and_wrapped_between_words(plain):
    words = [f"word{number}" for number in range(40)]
    shown = ""
    for word in words:
        plain.stream(f" {word}")
        shown += f" {word}"
        assert printed(plain).split() == shown.split()
    plain.end_stream()
    lines = printed(plain).splitlines()
    assert len(lines) > 2
    assert max(map(len, lines)) <= plain.width
    assert all(line.startswith("   w") for line in lines)


def test_short_forms():
    assert duration(0.0414) == "41 ms"
    assert duration(0.9996) == "1.0 s"
    assert shortened("abcdef", 4) == "abc…"
    assert shortened("abcd", 4) == "abcd"
    assert brief({"a": [0.123456] * 3, "b": None}) == '{"a": [0.123, 0.123, 0.123], "b": null}'
    assert visible("\x1b[1mab\x1b[0m") == 2


def test_a_wait_is_told_in_lines_without_a_terminal():
    plain = Screen(io.StringIO(), {}, patience=0.01)
    with plain.working("first") as say:
        eventually(lambda: "first" in printed(plain))
        say("second")
        say("  still second (9 s)")
        eventually(lambda: "second" in printed(plain))
    lines = printed(plain).splitlines()
    assert lines[0] == "   first … 0 s"
    assert lines[-1] == "   second … 0 s"
    assert not any("still" in line for line in lines)


def test_a_short_wait_is_not_told_without_a_terminal(plain):
    with plain.working("something"):
        pass
    assert printed(plain) == ""


def test_a_wait_leaves_nothing_on_a_terminal():
    screen = Screen(Terminal(), {})
    with screen.working("something") as say:
        say("something else")
    assert "something else" in printed(screen)
    assert printed(screen).endswith("\r\x1b[K")


# The processes it starts


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def serve_arguments(folder):
    return ["serve", "--listen", "127.0.0.1:0", "--store", f"sqlite:{folder / 'endpoints.db'}"]


def test_a_part_tells_its_address_and_ends_when_it_is_told(tmp_path):
    part = Part("proxy", serve_arguments(tmp_path), clean_environ(tmp_path), tmp_path / "log")
    try:
        part.wait_until_listening(20)
        part.check()
    finally:
        part.stop()
    assert part.url.startswith("http://127.0.0.1:")
    assert not is_alive(part.pid)
    with pytest.raises(ProcessFailed, match="the proxy ended"):
        part.check()


def test_a_part_that_cannot_start_shows_its_last_words(tmp_path):
    part = Part("proxy", ["serve", "--workers", "0"], clean_environ(tmp_path), tmp_path / "log")
    try:
        with pytest.raises(ProcessFailed, match=r"(?s)exit code 1.*\[workers\]"):
            part.wait_until_listening(20)
    finally:
        part.stop()


def test_a_part_ends_even_when_the_tour_is_killed(tmp_path):
    arguments = json.dumps(serve_arguments(tmp_path))
    program = f"""
import os, pathlib, time
from demo.parts import Part
part = Part("proxy", {arguments}, dict(os.environ), pathlib.Path({str(tmp_path / "log")!r}))
part.wait_until_listening(20)
print(part.pid, flush=True)
time.sleep(60)
"""
    tour = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=clean_environ(tmp_path),
        stdout=subprocess.PIPE,
        text=True,
    )
    with tour:
        assert tour.stdout is not None
        pid = int(tour.stdout.readline())
        assert is_alive(pid)
        tour.send_signal(signal.SIGKILL)
    eventually(lambda: not is_alive(pid))


# Its checks


class Parts:
    """No part has ended by itself."""

    def check(self):
        pass


def make_tour(screen, client=None, **values):
    values = {"corpus": [], "questions": [], "parts": Parts(), **values}
    return Tour(screen=screen, client=client, **values)


def test_a_failed_check_ends_the_tour_and_names_the_step(plain):
    taken: list[Tour] = []
    steps = [
        ("First", lambda tour: tour.check(True, "this holds")),
        ("Second", lambda tour: tour.check(False, "this holds, too")),
        ("Third", taken.append),
    ]
    with pytest.raises(StepFailed, match="step 2, Second: not so: this holds, too"):
        take_steps(make_tour(plain), steps)
    assert taken == []
    assert "✓ this holds" in printed(plain)


def test_any_error_of_a_step_is_told_by_its_kind(plain):
    def odd(tour):
        tour.questions[0]

    with pytest.raises(StepFailed, match="step 4, Odd: IndexError: "):
        take_steps(make_tour(plain), [("Odd", odd)], first=4)


def chunk(text):
    return json.dumps({"choices": [{"delta": {"content": text}}]})


def test_a_stream_is_put_together_from_its_events():
    seen = _Stream()
    for number, data in enumerate([chunk("a"), chunk("b"), '{"choices": []}', "[DONE]"], 1):
        seen.take(data, float(number))
    assert (seen.text, seen.pieces, seen.first, seen.last) == ("ab", 2, 1.0, 2.0)
    assert seen.is_done


def test_an_error_in_a_stream_is_not_taken_for_text():
    with pytest.raises(CheckFailed, match="quota"):
        _Stream().take('{"error": {"reason": "quota"}}', 1.0)


def test_nothing_may_follow_the_end_of_a_stream():
    seen = _Stream()
    seen.take("[DONE]", 1.0)
    with pytest.raises(CheckFailed, match=r"after \[DONE\]"):
        seen.take(chunk("a"), 2.0)


class FixedSearch:
    """Stands in for Elasticsearch and the provider: every search finds the same passages."""

    def __init__(self, found):
        self.transport = WatchedTransport([NodeConfig("http", "127.0.0.1", 9)])  # never used
        self._found = found

    def msearch(self, *, index, searches):
        hits = [{"_id": name, "_score": 0.5, "_source": {"title": name}} for name in self._found]
        return {"responses": [{"hits": {"hits": hits}}] * (len(searches) // 2)}


@pytest.mark.parametrize(("right", "passes"), [(10, True), (8, True), (7, False), (0, False)])
def test_too_few_right_answers_fail_the_step(plain, right, passes):
    asked = [
        Question(question=f"{number}?", answers=frozenset({"a" if number < right else "b"}))
        for number in range(10)
    ]
    corpus = [Passage(id="a", title="a", topic="", text="a")]
    tour = make_tour(plain, FixedSearch(["a"]), corpus=corpus, questions=asked)
    if passes:
        ask_questions(tour)
        assert f"for {right} of 10" in printed(plain)
    else:
        with pytest.raises(CheckFailed, match=f"for {right} of 10"):
            ask_questions(tour)


def test_words_alone_may_not_be_the_best_way(plain):
    asked = [Question(question="?", answers=frozenset({"a"}))]
    with pytest.raises(CheckFailed, match="best: words"):
        compare_ways(make_tour(plain, FixedSearch(["a"]), questions=asked))


def test_quality_counts_the_first_right_one_among_ten():
    rankings = [["x", "a"], ["b", "a"], ["x"] * 4 + ["b"], ["x"] * 10 + ["a"]]
    measured = quality(rankings, [{"a"}, {"a", "b"}, {"b"}, {"a"}])
    assert measured == Quality(recall_3=0.5, recall_10=0.75, mrr=(1 / 2 + 1 + 1 / 5) / 4)


def test_the_chart_has_a_bar_for_each_figure_of_each_way():
    picture = chart({way: Quality(recall_3=0.5, recall_10=0.6, mrr=0.7) for way in ("words", "b")})
    assert picture.count("<rect x=") == 6
    assert picture.count(">0.70<") == 2
