"""Requests whose body has parts, each of which may name another index than the path does.

Source: RestBulkAction, RestMultiGetAction, RestMultiSearchAction, RestMultiSearchTemplateAction.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from proxy.rest.request import RestRequest
from proxy.semantic.expressions import decoded

_PATH: Final = re.compile(
    rb"/(?:([^/?]*+)/(?:([^/?]++)/)?)?(_(?:bulk|mget|msearch(?:/template)?))/*(?:\?|$)"
)
_OLD: Final = 7  # the version to behave as


@dataclass(frozen=True, slots=True)
class InParts:
    """What the path of such a request says."""

    index: str | None  # that of parts which name none; None where the path has none, either
    has_type: bool  # of documents, as Elasticsearch 7 has them
    api: str

    @property
    def pattern(self) -> str:
        """The route of the request without a type."""
        return f"/{self.api}" if self.index is None else f"/{{index}}/{self.api}"


def in_parts(target: bytes) -> InParts | None:
    """What a raw target says; None for requests of other kinds."""
    if (match := _PATH.match(target)) is None:
        return None
    index, type_, api = match.groups()
    return InParts(None if index is None else decoded(index), type_ is not None, api.decode())


def is_in_parts(target: bytes) -> bool:
    """Whether a raw target is that of such a request."""
    return _PATH.match(target) is not None


def reads_types(rest: RestRequest) -> bool:
    """Whether a type in a path is read as one: Elasticsearch 8 is asked to behave as 7."""
    sent = (rest.accept, rest.content_type)
    return any(form is not None and form.version == _OLD for form in sent)
