"""What the note about shared rate limits says after somebody has taken places."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.huggingface.leases import (
    FORGOTTEN,
    HOLD,
    PARTS,
    SILENT,
    Late,
    Request,
    Taken,
    Wanted,
    fair_share,
    leave,
    take,
)
from proxy.huggingface.lifesigns import life_sign

G = Wanted("g", 0.5, 4)
OWN = life_sign() or {}


class Proxies:
    """Those that share a note, each of which says what is so of it unless told otherwise."""

    def __init__(self) -> None:
        self.note: dict[str, Any] = {}
        self.parts: dict[str, list[int]] = {}
        self._turn = 0

    def ask(self, me: str, now: float, *wanted: Wanted, **what: Any) -> Taken:
        self._turn += 1
        what = {"parts": self.parts.get(me, []), "horizon": 100.0, "turn": self._turn, **what}
        request = Request(me=me, now=now, wanted=wanted, **what)
        self.note, taken = take(self.note, request)
        self.parts[me] = list(taken.parts)
        return taken


@pytest.fixture
def proxies():
    return Proxies()


def share_between(proxies: Proxies, *names: str, now: float = 100.0, **what: Any) -> None:
    """Each has its fair share: who has more has given it up."""
    for _ in range(2):
        for name in names:
            fair = proxies.parts.get(name, [])[: fair_share(len(names))]
            proxies.ask(name, now, parts=fair, **what)


def test_the_first_has_all_parts_and_gives_up_what_others_need(proxies):
    assert len(proxies.ask("a", 100.0).parts) == PARTS
    assert not proxies.ask("b", 100.0).parts
    share_between(proxies, "a", "b", "c")
    assert [len(proxies.parts[name]) for name in "abc"] == [40, 40, 40]
    assert len({part for parts in proxies.parts.values() for part in parts}) == PARTS


def test_nobody_takes_places_that_others_keep_as_their_own(proxies):
    share_between(proxies, "a", "b")
    places = proxies.ask("a", 100.0, Wanted("g", 0.5, PARTS), lent=1000.0).places["g"]
    own = {
        round(100.0 + 0.5 * number, 3)
        for number in range(200)
        if number % PARTS in proxies.parts["a"]
    }
    assert {round(place, 3) for place in places} <= own
    assert len(places) > 50


def test_places_that_are_lent_are_taken_one_after_the_other(proxies):
    share_between(proxies, "a", "b", lent=103.0)
    first = proxies.ask("a", 100.0, G, lent=103.0).places["g"]
    second = proxies.ask("b", 100.0, Wanted("g", 0.5, 1), Wanted("h", 1.0, 2), lent=103.0).places
    third = proxies.ask("a", 100.2, G, lent=103.0, kept={"g": 0.0}).places["g"]
    assert first == [100.0, 100.5, 101.0, 101.5]
    assert second == {"g": [102.0], "h": [100.0, 101.0]}
    lent_by_b = [place for place in (102.5,) if round((place - 100.0) / 0.5) in proxies.parts["b"]]
    assert third == lent_by_b  # but what is not lent any more


def test_nothing_is_taken_that_would_be_due_before_it_is_known_or_is_far_ahead(proxies):
    assert proxies.ask("a", 100.0, G, delay=1.0).places["g"][0] == 101.0
    assert proxies.ask("a", 100.5, G, delay=3.0, horizon=3.2, lent=200.0).places["g"] == [103.5]


def test_what_somebody_gets_is_its_own_after_what_has_been_taken_of_it(proxies):
    taken = proxies.ask("a", 100.0, G)
    assert (taken.places["g"][-1], taken.new_from) == (101.5, 102.0)


def test_a_line_of_which_nothing_was_used_of_late_begins_anew(proxies):
    proxies.ask("a", 100.0, G)
    assert proxies.ask("a", 150.2, used={"g": 140.0}).anchors == {"g": 100.0}
    assert proxies.ask("a", 140.2 + FORGOTTEN, G).anchors == {"g": 140.2 + FORGOTTEN}


@pytest.mark.parametrize(("kept", "anchor"), [({}, 200.2), ({"g": 0.0}, 100.0)])
def test_a_line_does_not_begin_anew_while_somebody_may_use_it(proxies, kept, anchor):
    share_between(proxies, "a", "b")
    proxies.ask("a", 100.0, G)
    proxies.ask("b", 195.0, lent=205.0, kept=kept)
    assert proxies.ask("a", 200.2, G).anchors == {"g": anchor}


def test_the_fastest_clock_tells_the_time(proxies):
    proxies.ask("a", 105.0)
    taken = proxies.ask("b", 100.0)
    assert (taken.now, proxies.note["time"]) == (105.0, 105.0)


def test_who_is_not_heard_of_keeps_its_parts_for_a_time(proxies):
    share_between(proxies, "a", "b")
    for now in range(105, 215, 5):
        proxies.ask("a", now)
    assert (proxies.ask("a", 99.0 + HOLD).proxies, len(proxies.parts["a"])) == (2, 60)
    assert (proxies.ask("a", 101.0 + HOLD).proxies, len(proxies.parts["a"])) == (1, PARTS)


def test_after_a_silence_of_all_nobody_counts_as_silent_yet(proxies):
    share_between(proxies, "a", "b")
    assert (proxies.ask("a", 101.0 + HOLD).proxies, len(proxies.parts["a"])) == (2, 60)


def test_new_ones_take_the_places_of_those_that_are_silent_if_nobody_was_there_with_them(proxies):
    share_between(proxies, "a", "b")
    for now in range(105, 126, 5):
        assert not proxies.ask("c", now).parts
        assert not proxies.ask("d", now).parts
    assert len(proxies.ask("c", 105.5 + SILENT).parts) == 60
    assert len(proxies.ask("d", 105.5 + SILENT).parts) == 60
    assert sorted(proxies.note["proxies"]) == ["c", "d"]


def test_they_leave_alone_one_that_may_be_cut_off(proxies):
    share_between(proxies, "a", "b")
    for now in range(105, 145, 5):
        proxies.ask("a", now, parts=proxies.parts["a"][:40])
        proxies.ask("c", now)
    assert len(proxies.parts["c"]) == 20
    assert "b" in proxies.note["proxies"]


@pytest.mark.skipif(not OWN, reason="this system does not tell")
def test_others_have_the_parts_of_a_process_that_is_seen_to_have_ended_at_once(proxies):
    share_between(proxies, "a", "b", sign=OWN)
    assert len(proxies.ask("a", 100.5).parts) == 60
    proxies.ask("b", 100.6, sign={**OWN, "began": "1"})
    assert len(proxies.ask("a", 100.7).parts) == PARTS


def test_others_have_the_parts_of_one_that_leaves_at_once(proxies):
    share_between(proxies, "a", "b")
    proxies.note = leave(proxies.note, "b")
    assert len(proxies.ask("a", 100.5).parts) == PARTS


def test_a_request_that_comes_after_later_ones_changes_nothing(proxies):
    proxies.ask("a", 100.0, turn=2)
    with pytest.raises(Late):
        proxies.ask("a", 99.0, turn=1)
