"""Settings and fields of the index, and whether an index has these fields."""

from __future__ import annotations

from typing import Any, Final

from proxy.store.elasticsearch.answers import unexpected
from proxy.store.elasticsearch.failures import not_ours

FIELDS: Final = {"id": "keyword", "task_type": "keyword", "key_id": "keyword", "blob": "binary"}
SETTINGS: Final = {
    "index": {
        "hidden": True,
        "number_of_shards": 1,
        "auto_expand_replicas": "0-1",
        # Whatever index templates of the cluster say.
        "translog": {"durability": "request"},
        "default_pipeline": "_none",
        "final_pipeline": "_none",
    }
}
MAPPINGS: Final[dict[str, Any]] = {
    "dynamic": "strict",
    "properties": {
        name: {"type": kind} | ({"doc_values": False} if kind == "binary" else {})
        for name, kind in FIELDS.items()
    },
}
# For writes, which make a missing index with fields of Elasticsearch's own choice. Fields that are
# mapped need no dynamic template; for any other field, naming one that does not exist is an error,
# and nothing is written.
ONLY_AS_MAPPED: Final = {"dynamic_templates": dict.fromkeys(FIELDS, "none")}


def check_fields(body: object, index: str) -> None:
    """Raises: StoreDamaged if an answer to `_field_caps` has anything but FIELDS."""
    match body:
        case {"indices": [_], "fields": dict(fields)}:
            wrong = [_difference(name, set(fields.get(name, {}))) for name in FIELDS]
        case {"indices": [_, _, *_]}:
            wrong = ["it is an alias of several indices"]
        case _:
            raise unexpected()
    if any(wrong):
        raise not_ours(index, ", ".join(filter(None, wrong)))


def _difference(name: str, kinds: set[str]) -> str | None:
    if kinds == {FIELDS[name]}:
        return None
    found = f"[{', '.join(sorted(kinds))}]" if kinds else "missing"
    return f"the field [{name}] is {found}, not [{FIELDS[name]}]"
