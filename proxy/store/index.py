"""The index of the Elasticsearch store, as the proxy makes it, and whether one is that."""

from __future__ import annotations

from typing import Any, Final

from proxy.store.answers import not_ours, unexpected

FIELDS: Final = {"id": "keyword", "task_type": "keyword", "key_id": "keyword", "blob": "binary"}
SETTINGS: Final = {
    "index": {
        "hidden": True,
        "number_of_shards": 1,
        "auto_expand_replicas": "0-1",
        # An index template of the cluster may say otherwise for all indices, but not for this one.
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
# For a write: it makes an index that is missing, with fields of Elasticsearch's own choice. A field
# that is mapped needs no dynamic template; of one that is not, a template that nobody has is an
# error, and nothing is written.
ONLY_AS_MAPPED: Final = {"dynamic_templates": dict.fromkeys(FIELDS, "none")}


def check_fields(body: object, index: str) -> None:
    """Raises: StoreDamaged when `_field_caps` tells of other FIELDS than the proxy makes."""
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
