"""`Warning` headers, into which nothing of a caller's choosing gets as it is."""

from __future__ import annotations

from proxy.api.warnings import STALE, UNTRIED, incomplete, without_effect
from proxy.inference.ports import Listing


def test_a_complete_list_has_none():
    assert list(incomplete(Listing([]))) == []


def test_what_a_list_lacks_is_told():
    found = list(incomplete(Listing([], refused=("a", "b"), more_refused=3, complete=False)))
    assert len(found) == 2
    assert "[a, b" in found[0]
    assert "GET them by their ids" in found[1]


def test_settings_are_named_as_far_as_they_can_stand_in_a_header():
    names = ["url", "a\r\nSet-Cookie: x", "é", *(f"s{number}" for number in range(20))]
    header = without_effect(names)
    assert "does not change [url, s0, " in header
    assert header.endswith('s8, 13 more]: they were ignored"')
    assert header.isascii()
    assert header.isprintable()
    assert "[1 more]" in without_effect(["é"])


def test_all_are_headers_of_elasticsearchs():
    for header in (STALE, UNTRIED, without_effect(["a"])):
        assert header.startswith('299 Elasticsearch "')
        assert header.count('"') == 2
