"""How semantic fields lie in the mappings and documents of an Elasticsearch that knows none.

The field itself becomes a text that is not indexed, so its value stays where users put it. All else
is below one hidden object, `xinf`, with an object for each field:

    xinf.<key>.chunks   nested: the vector of each chunk, and where the chunk is
    xinf.<key>.def<n>   the field's definition; the highest n holds
    xinf.<key>.model    the settings of the model that the vectors are of
    xinf.<key>.seen     is mapped as soon as a document has brought vectors

Definition and model stand in the mapping itself, as the `null_value` of keywords that no document
has. So they follow aliases, snapshots, clones and templates, and go when their index goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from proxy.semantic.modelsettings import ModelSettings
from proxy.xcontent.loading import load_json
from proxy.xcontent.writing import dump_json

CONTAINER: Final = "xinf"
CHUNKS: Final = "chunks"
VECTOR: Final = "embeddings"
MODEL: Final = "model"
SEEN: Final = "seen"
# Where Elasticsearch itself has the chunks of a field, below its path.
NATIVE_CHUNKS: Final = "inference.chunks"
MARK: Final = "m"  # below `seen`
# What a document brings there: an object, as that is mapped, but in no query's default fields.
MARKED: Final[Mapping[str, Any]] = {MARK: {}}
# A dynamic template that does not exist. Named for the vectors of a document, it makes the document
# fail where they are not mapped, which would otherwise map them in a way that nothing can mend.
MISSING: Final = "semantic-field-missing"
_DEFINITION: Final = "def"

# What stands for the field itself. Its value is in `_source` only: no query finds it by accident.
PLACEHOLDER: Final = {"type": "text", "index": False, "norms": False}


def key_of(path: str) -> str:
    """The name of a field's object below `xinf`; as no name has dots, no two fields share one."""
    return path.replace(".", ":")


def path_of(key: str) -> str:
    """The inverse of `key_of`."""
    return key.replace(":", ".")


def chunks_path(path: str) -> str:
    """Where the chunks of the field `path` lie in a document."""
    return f"{CONTAINER}.{key_of(path)}.{CHUNKS}"


def vector_path(path: str) -> str:
    """Where the vectors of the field `path` lie in a document."""
    return f"{chunks_path(path)}.{VECTOR}"


def is_ours(path: str) -> bool:
    """Whether a field is one that the layer added."""
    return path == CONTAINER or path.startswith(f"{CONTAINER}.")


def names(path: str, number: int) -> list[str]:
    """The names of all that is mapped for the field `path`, which has so many definitions."""
    parent = f"{CONTAINER}.{key_of(path)}"
    chunks = (VECTOR, "field", "start", "end")
    return [
        *(f"{parent}.{_DEFINITION}{one}" for one in range(1, number + 1)),
        f"{parent}.{MODEL}",
        *(f"{chunks_path(path)}.{one}" for one in chunks),
    ]


def container(properties: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping of `xinf`; `properties` has that of each field by its key."""
    return {"dynamic": False, "properties": dict(properties)}


def field_mapping(
    definition: Mapping[str, Any],
    model: ModelSettings | None,
    *,
    number: int = 1,
    in_bits: bool = True,
) -> dict[str, Any]:
    """The mapping below `xinf` for a field; `model` is None while its endpoint is not known.

    `number` is that of the definition: it cannot be changed, only be followed by the next one.
    `in_bits` says whether the upstream can quantise vectors to bits, as `semantic_text` has it.
    """
    chunks: dict[str, Any] = {
        "field": {"type": "keyword", "index": False, "doc_values": False},
        "start": {"type": "integer", "index": False, "doc_values": False},
        "end": {"type": "integer", "index": False, "doc_values": False},
    }
    properties: dict[str, Any] = {
        **definition_mapping(definition, number)["properties"],
        SEEN: {"type": "object", "dynamic": True},
        CHUNKS: {"type": "nested", "properties": chunks},
    }
    if model is not None:
        properties[MODEL] = _carrier(model.rendered())
        options = (definition.get("index_options") or {}).get(model.mapped)
        chunks[VECTOR] = model.mapping(options, in_bits=in_bits)
    return {"properties": properties}


def definition_mapping(definition: Mapping[str, Any], number: int) -> dict[str, Any]:
    """The mapping below `xinf` that gives a field, which is there already, another definition."""
    return {"properties": {f"{_DEFINITION}{number}": _carrier(definition)}}


def definition_of(mapping: Mapping[str, Any]) -> tuple[int, dict[str, Any]] | None:
    """Number and text of the definition that holds; None if `mapping` is not one of ours."""
    properties = mapping.get("properties", {})
    numbers = [
        int(name.removeprefix(_DEFINITION))
        for name in properties
        if name.startswith(_DEFINITION) and name.removeprefix(_DEFINITION).isdecimal()
    ]
    if not numbers:
        return None
    number = max(numbers)
    definition = _carried(properties[f"{_DEFINITION}{number}"])
    return None if definition is None else (number, definition)


def model_of(mapping: Mapping[str, Any]) -> dict[str, Any] | None:
    """The settings of the model; None while the endpoint was never known."""
    carrier = mapping.get("properties", {}).get(MODEL)
    return None if carrier is None else _carried(carrier)


def is_seen(mapping: Mapping[str, Any]) -> bool:
    """Whether a document has brought vectors."""
    seen = mapping.get("properties", {}).get(SEEN, {})
    return MARK in seen.get("properties", {})


def is_placeholder(mapping: Mapping[str, Any]) -> bool:
    """Whether a field is still as we declared it, so that its definition may be believed."""
    return mapping.get("type") == "text" and mapping.get("index") is False


def _carrier(value: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "keyword",
        "index": False,
        "doc_values": False,
        "null_value": dump_json(value).decode(),
    }


def _carried(carrier: Mapping[str, Any]) -> dict[str, Any] | None:
    try:
        value = load_json(str(carrier["null_value"]).encode())
    except (KeyError, ValueError):
        return None
    return value if isinstance(value, dict) else None
