"""What the note about shared rate limits says after somebody has taken places."""

from __future__ import annotations

from proxy.huggingface.leases import SEEN, Wanted, take

G = Wanted("g", 0.5, 4)


def test_places_follow_those_that_others_have_taken():
    note, first = take({}, [G], me="a", now=100.0)
    note, second = take(note, [Wanted("g", 0.5, 1), Wanted("h", 1.0, 2)], me="b", now=100.5)
    note, third = take(note, [G], me="a", now=101.0)
    assert (first.starts, second.starts) == ({"g": 100.0}, {"g": 102.0, "h": 100.5})
    assert third.starts == {"g": 102.5}
    assert note["next"] == {"g": 104.5, "h": 102.5}


def test_time_that_nobody_has_taken_is_gone_and_forgotten():
    note, _ = take({}, [G, Wanted("h", 0.5, 4)], me="a", now=100.0)
    note, taken = take(note, [G], me="a", now=200.0)
    assert taken.starts == {"g": 200.0}
    assert note["next"] == {"g": 202.0}


def test_nothing_is_taken_that_would_be_due_before_it_is_known():
    note, taken = take({}, [G], me="a", now=100.0, delay=1.0)
    assert taken.starts == {"g": 101.0}
    _, taken = take(note, [G], me="b", now=100.5, delay=1.0)
    assert taken.starts == {"g": 103.0}


def test_the_fastest_clock_tells_the_time():
    note, _ = take({}, [], me="a", now=105.0)
    note, taken = take(note, [G], me="b", now=100.0)
    assert (taken.now, taken.starts) == (105.0, {"g": 105.0})
    assert note["time"] == 105.0


def test_those_count_who_were_seen_of_late():
    note, one = take({}, [], me="a", now=100.0)
    note, two = take(note, [], me="b", now=101.0)
    _, three = take(note, [], me="c", now=100.5 + SEEN)
    assert (one.proxies, two.proxies, three.proxies) == (1, 2, 2)


def test_one_who_comes_back_has_all_keep_to_their_shares_for_a_while():
    note, taken = take({}, [G], me="a", now=100.0, shares_until=106.0)
    assert (taken.starts, taken.shares_until) == ({}, 106.0)
    note, taken = take(note, [G], me="b", now=105.0)
    assert taken.starts == {}
    note, taken = take(note, [G], me="b", now=106.0)
    assert taken.starts == {"g": 106.0}
