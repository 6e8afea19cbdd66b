"""Asynchronous searches, whose hits may come in a later answer, and from another proxy.

What that has to know travels with the search: as the `meta` of an aggregation that finds nothing,
which Elasticsearch keeps with what the search has found, and shows in every answer. With one,
Elasticsearch looks at all documents that match, and skips none that cannot be among the best. So it
is there only where semantic fields are asked for by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from proxy.semantic import layout
from proxy.semantic.asked import Asked, unpacked

_NAME: Final = layout.CONTAINER
_SHOWN_AS: Final = (_NAME, f"filter#{_NAME}")  # the latter with `typed_keys`
_ASKED: Final = "asked"


def is_async(path: str) -> bool:
    """Whether a search is asynchronous."""
    return path.rstrip("/").endswith("/_async_search")


def remembering(body: Mapping[str, Any], asked: Asked) -> dict[str, Any]:
    """A search whose answers bring back what it asked for."""
    name = "aggregations" if "aggregations" in body else "aggs"
    others = body.get(name, {})
    if not asked.names_fields or not isinstance(others, Mapping):  # which the upstream refuses
        return dict(body)
    ours = {"filter": {"match_none": {}}, "meta": {_ASKED: asked.packed()}}
    return {**body, name: {**others, _NAME: ours}}


def taken_out(document: Any) -> Asked | None:
    """What the search of an answer asked for, which is no longer in the answer then."""
    response = document.get("response") if isinstance(document, Mapping) else None
    if not isinstance(response, dict):
        return None
    _take_out_of_profile(response.get("profile"))
    found = response.get("aggregations")
    if not isinstance(found, dict):
        return None
    ours = [found.pop(name) for name in _SHOWN_AS if name in found]
    if not ours:
        return None
    if not found:
        del response["aggregations"]
    match ours:
        case [{"meta": {"asked": str() as packed}}]:
            return unpacked(packed)
    return None


def _take_out_of_profile(profile: Any) -> None:
    """Do not tell that the aggregation took time."""
    shards = profile.get("shards") if isinstance(profile, Mapping) else None
    for shard in shards if isinstance(shards, list) else ():
        told = shard.get("aggregations") if isinstance(shard, dict) else None
        if isinstance(told, list):
            shard["aggregations"] = [
                one
                for one in told
                if not (isinstance(one, Mapping) and one.get("description") == _NAME)
            ]
