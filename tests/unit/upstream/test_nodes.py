"""Which nodes are asked, on a clock that the test moves."""

from __future__ import annotations

from proxy.upstream.nodes import FIRST_PAUSE, LONGEST_PAUSE, STRIKES, Nodes


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def two():
    clock = Clock()
    nodes = Nodes("http://a:9200", "http://b:9200", clock=clock)
    return clock, nodes, *nodes


def firsts(nodes, count):
    return [nodes.in_turn()[0].name[7] for _ in range(count)]


def test_nodes_take_turns():
    _, nodes, *_ = two()
    assert sorted(firsts(nodes, 4)) == ["a", "a", "b", "b"]
    assert {node.name[7] for node in nodes.in_turn()} == {"a", "b"}


def test_a_node_that_cannot_be_reached_is_passed_over_and_tried_once_in_each_pause(caplog):
    clock, nodes, a, _ = two()
    a.was_unreachable("refused")
    a.was_unreachable("refused")
    assert firsts(nodes, 4) == ["b"] * 4
    assert caplog.text.count("cannot connect to upstream [http://a:9200]: refused") == 1
    clock.now += 2 * FIRST_PAUSE
    assert sorted(firsts(nodes, 4)) == ["a", "b", "b", "b"]
    a.did_well()
    assert sorted(firsts(nodes, 4)) == ["a", "a", "b", "b"]


def test_pauses_grow_to_a_limit_and_begin_anew_after_a_good_answer():
    clock, _, a, _ = two()
    pauses = []
    for _ in range(8):
        a.was_unreachable("refused")
        pauses.append(a.retry_at - clock.now)
    assert pauses == [1, 2, 4, 8, 16, LONGEST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE]
    a.did_well()
    a.was_unreachable("refused")
    assert a.retry_at - clock.now == FIRST_PAUSE


def test_bad_answers_count_in_a_row():
    _, _, a, _ = two()
    for _ in range(3):
        for _ in range(STRIKES - 1):
            a.did_badly(503)
        a.did_well()
    assert a.live
    for _ in range(STRIKES):
        a.did_badly(503)
    assert not a.live


def test_a_node_that_is_back_and_answers_badly_is_passed_over_at_once():
    _, _, a, _ = two()
    for _ in range(STRIKES):
        a.did_badly(502)
    a.was_reached()
    assert a.live
    a.did_badly(502)
    assert not a.live


def test_where_all_nodes_are_passed_over_all_are_asked():
    _, nodes, a, b = two()
    a.was_unreachable("refused")
    b.was_unreachable("refused")
    assert len(nodes.in_turn()) == 2
