"""Who is refused, in Elasticsearch's words."""

from __future__ import annotations

import pytest

from proxy.upstream.subjects import describe_subject


@pytest.mark.parametrize(
    ("authenticated", "effective", "runs_as", "text"),
    [
        (("file", "u", ["b", "a"]), None, False, "user [u] with effective roles [a,b]"),
        (("file", "u", []), None, False, "user [u] with effective roles []"),
        # What anonymous callers have is added once more.
        (("file", "u", ["a", "a"]), None, False, "user [u] with effective roles [a]"),
        (
            ("file", "u", ["a"]),
            ("file", "v", ["b"]),
            True,
            "user [u] run as [v] with effective roles [b]",
        ),
        (("_es_api_key", "u", []), None, False, "API key id [K] of user [u]"),
        (
            ("_es_api_key", "u", []),
            ("file", "v", ["b"]),
            True,
            "API key id [K] of user [u] run as [v] with effective roles [b]",
        ),
        (("_service_account", "elastic/x", []), None, False, "service account [elastic/x]"),
    ],
)
def test_who_is_refused_is_said_as_elasticsearch_says_it(authenticated, effective, runs_as, text):
    def body(account):
        realm, name, roles = account
        return {
            "username": name,
            "roles": roles,
            "authentication_realm": {"name": "x", "type": realm},
            "api_key": {"id": "K", "name": "k"},
        }

    found = describe_subject(body(authenticated), body(effective or authenticated), runs_as=runs_as)
    assert found == text


@pytest.mark.parametrize("body", [None, [], {}, {"username": "u"}, {"authentication_realm": 1}])
def test_a_body_that_does_not_tell_who_is_refused_is_none(body):
    assert describe_subject(body, body, runs_as=False) is None
