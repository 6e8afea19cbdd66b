"""What the upstream's answers to the proxy's own questions say, and what they do not.

A failure is never taken for an answer: documents would be written without their vectors.
"""

from __future__ import annotations

from typing import Any, Final

from proxy.ground.errors import UpstreamUnavailable
from proxy.semantic.answerjson import object_of
from proxy.semantic.ports import UpstreamAnswer

# What Elasticsearch says of roles that it cannot read yet. Source: AuthorizationDenialMessages.
_ROLES_MISSING: Final = b"were not found)"

_NOTHING: Final = (400, 401, 403, 404)


def is_forbidden(answer: UpstreamAnswer) -> bool:
    """Whether the proxy's own credentials do not suffice for what was asked.

    Raises: UpstreamUnavailable where that may be so only as long as the upstream recovers.
    """
    if answer.status == 403 and _ROLES_MISSING in answer.body:
        raise UpstreamUnavailable("upstream node does not find the roles of the proxy's own user")
    return answer.status == 403


def told_or_nothing(answer: UpstreamAnswer) -> dict[str, Any]:
    """As `told_by`; nothing where there is nothing of that name, or who asked may not look."""
    return {} if answer.status in _NOTHING else told_by(answer)


def told_by(answer: UpstreamAnswer) -> dict[str, Any]:
    """The object that was asked for.

    Raises: UpstreamUnavailable for another status, UpstreamBroken for no object.
    """
    if answer.status != 200:
        raise UpstreamUnavailable(
            f"upstream node answered {answer.status} to a question of the proxy"
        )
    return object_of(answer)
