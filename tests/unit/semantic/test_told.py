from __future__ import annotations

import pytest

from proxy.ground.errors import UpstreamError, UpstreamUnavailable
from proxy.semantic.told import is_forbidden, told_by, told_or_nothing
from tests.unit.semantic.clusters import answered

NO_ROLES = {"error": {"reason": "the roles [proxy] were not found), denied"}}


def test_what_is_told():
    assert told_by(answered(200, {"a": 1})) == {"a": 1}


@pytest.mark.parametrize("status", [202, 404, 503])
def test_a_failure_tells_nothing(status):
    with pytest.raises(UpstreamUnavailable, match=f"answered {status}"):
        told_by(answered(status, {"a": 1}))


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_what_is_not_there_is_nothing(status):
    assert told_or_nothing(answered(status, {"error": {}})) == {}


@pytest.mark.parametrize("status", [202, 408, 429, 500, 503])
def test_a_failure_is_not_nothing(status):
    with pytest.raises(UpstreamUnavailable, match=f"answered {status}"):
        told_or_nothing(answered(status, {}))


def test_what_is_no_object_tells_nothing():
    with pytest.raises(UpstreamError):
        told_by(answered(200, ["a"]))


def test_roles_that_cannot_be_read_yet_forbid_nothing():
    assert is_forbidden(answered(403, {"error": "no"}))
    assert not is_forbidden(answered(401, NO_ROLES))
    with pytest.raises(UpstreamUnavailable, match="roles"):
        is_forbidden(answered(403, NO_ROLES))
