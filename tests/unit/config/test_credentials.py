from __future__ import annotations

import pytest

from proxy.config import ConfigError, UpstreamConfig
from proxy.config.credentials import check_one_kind, halves, kind_of, kinds_of


def names(*keys: str) -> dict[str, str]:
    """Keys that stand under names of their own in the environment."""
    return {key: key.upper() for key in keys}


def test_kinds():
    assert kind_of("upstream.password") == kind_of("upstream.username") == "user"
    assert kind_of("upstream.urls") is None
    assert kinds_of(["upstream.urls", "upstream.api_key"]) == {"API key"}


def test_one_kind_may_have_two_keys():
    check_one_kind(names("upstream.username", "upstream.password"))
    check_one_kind({})


def test_two_kinds_are_refused_by_the_names_they_stand_under():
    with pytest.raises(ConfigError, match=r"\[UPSTREAM.API_KEY\] and \[UPSTREAM.USERNAME\]"):
        check_one_kind(names("upstream.username", "upstream.api_key"))


@pytest.mark.parametrize(
    ("given", "lines"),
    [
        ({}, []),
        ({"username": "u", "password": "p"}, []),
        ({"password": "p"}, ["[upstream.password] has no effect without [upstream.username]"]),
        (
            {"username": "u"},
            ["[upstream.username] has no [upstream.password]: an empty one is sent"],
        ),
    ],
)
def test_half_a_user_is_told(given, lines):
    assert list(halves(UpstreamConfig(**given))) == lines
