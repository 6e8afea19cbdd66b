"""What an upstream's mapping says about semantic fields, and how users see it.

Source: SemanticTextFieldMapper, FieldTypeLookup.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from proxy.semantic import layout
from proxy.semantic.fields import TYPE, SemanticField
from proxy.semantic.modelsettings import read_model_settings

# The parameters of a semantic field in the order in which Elasticsearch shows them, with what
# `include_defaults` shows where one is not set.
_SHOWN: Final[Mapping[str, Any]] = {
    "search_inference_id": None,
    "model_settings": None,
    "chunking_settings": None,
    "index_options": None,
    "meta": {},
}
_SECTIONS: Final = ("properties", "fields")
# What mappings are called, the last one where `_ingest/_simulate` shows what a document would make.
_MAPPINGS: Final = ("mappings", "effective_mappings", "effective_mapping")


def fields_of(mapping: Mapping[str, Any]) -> dict[str, SemanticField]:
    """The semantic fields of an index by path, read from its mapping as the upstream shows it."""
    ours = _ours(mapping)
    if not ours:
        return {}
    sources = Sources(mapping)
    aliases: dict[str, list[str]] = {}
    for path, leaf in sources.leaves.items():
        if leaf.get("type") == "alias":
            aliases.setdefault(str(leaf.get("path")), []).append(path)
    fields = {}
    for path, below in ours.items():
        found = layout.definition_of(below)
        if found is None or not layout.is_placeholder(sources.leaves.get(path, {})):
            continue
        number, definition = found
        model = layout.model_of(below)
        fields[path] = SemanticField(
            path=path,
            definition=definition,
            number=number,
            model=None if model is None else read_model_settings(model),
            seen=layout.is_seen(below),
            sources=sources.of(path),
            aliases=tuple(aliases.get(path, ())),
        )
    return fields


class Sources:
    """The fields of a mapping, and from where each gets its values."""

    def __init__(self, mapping: Mapping[str, Any]) -> None:
        self.leaves = dict(_leaves(mapping, ""))  # by path
        self._copied: dict[str, list[str]] = {}
        for path, leaf in self.leaves.items():
            for target in _listed(leaf.get("copy_to")):
                self._copied.setdefault(target, []).append(path)

    def of(self, path: str) -> tuple[str, ...]:
        """The fields whose values a field gets, sorted: its own, or for a multi-field its parent's.

        Source: FieldTypeLookup.sourcePaths.
        """
        own = _parent_of(path, self.leaves) or path
        return tuple(sorted({own, *self._copied.get(own, ())}))


def as_declared(mapping: Mapping[str, Any]) -> Mapping[str, Any]:
    """The mapping as its user declared it: what we added is gone, semantic fields are back."""
    if not _ours(mapping):
        return mapping
    shown = _shown(mapping, "", fields_of(mapping))
    del shown["properties"][layout.CONTAINER]
    return _without_include(shown)


def _without_include(mapping: dict[str, Any]) -> dict[str, Any]:
    """Without what was added to the user's `_source.includes`."""
    match mapping.get("_source"):
        case {"includes": [*includes], **others} if layout.CONTAINER in includes:
            kept = [pattern for pattern in includes if pattern != layout.CONTAINER]
            return {**mapping, "_source": {"includes": kept, **others}}
    return mapping


def declared_everywhere(document: Any) -> Any:
    """An answer with its mappings as users declared them: of indices, templates, the cluster."""
    if isinstance(document, list):
        return [declared_everywhere(one) for one in document]
    if not isinstance(document, Mapping):
        return document
    return {
        key: _declared(value)
        if key in _MAPPINGS and isinstance(value, Mapping)
        else declared_everywhere(value)
        for key, value in document.items()
    }


def _declared(mapping: Mapping[str, Any]) -> Mapping[str, Any]:
    """A mapping that may stand below its type, as in the cluster's state."""
    match mapping:
        case {"_doc": Mapping() as typed, **others} if not others:
            return {"_doc": as_declared(typed)}
    return as_declared(mapping)


def shown_field(
    field: SemanticField, mapping: Mapping[str, Any], *, with_defaults: bool = False
) -> dict[str, Any]:
    """A semantic field as mappings show it; `mapping` is that of its placeholder."""
    found: dict[str, Any] = {name: field.definition.get(name) for name in _SHOWN}
    found["meta"] = mapping.get("meta") or None
    if found["model_settings"] is None and field.seen and field.model is not None:
        found["model_settings"] = field.model.rendered()
    if with_defaults:
        if found["index_options"] is None and field.model is not None:
            options = field.model.default_options()
            found["index_options"] = None if options is None else {field.model.mapped: options}
        found = {name: _SHOWN[name] if found[name] is None else found[name] for name in _SHOWN}
    else:
        found = {name: value for name, value in found.items() if value is not None}
    declared = {name: mapping[name] for name in ("fields", "copy_to") if mapping.get(name)}
    return {"type": TYPE, "inference_id": field.inference_id, **found, **declared}


def _shown(
    mapping: Mapping[str, Any], path: str, fields: Mapping[str, SemanticField]
) -> dict[str, Any]:
    result = dict(mapping)
    for section in _SECTIONS:
        if children := _children(mapping, section):
            result[section] = dict(mapping[section])
            for name, child in children.items():
                result[section][name] = _shown(child, f"{path}.{name}" if path else name, fields)
    field = fields.get(path)
    return result if field is None else shown_field(field, result)


def _ours(mapping: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """What is mapped below `xinf`, by the path of the field."""
    match mapping:
        case {"properties": {layout.CONTAINER: {"properties": Mapping() as below}}}:
            return {
                layout.path_of(key): content
                for key, content in below.items()
                if isinstance(content, Mapping) and layout.definition_of(content) is not None
            }
    return {}


def _leaves(mapping: Mapping[str, Any], path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every field by its path, those of multi-fields included."""
    for section in _SECTIONS:
        for name, child in _children(mapping, section).items():
            if not path and name == layout.CONTAINER:
                continue
            full = f"{path}.{name}" if path else name
            yield full, child
            yield from _leaves(child, full)


def _children(mapping: Mapping[str, Any], section: str) -> Mapping[str, Mapping[str, Any]]:
    """The fields of a section; templates may hold what no index could, such as a list of none."""
    children = mapping.get(section)
    if not isinstance(children, Mapping):
        return {}
    return {name: child for name, child in children.items() if isinstance(child, Mapping)}


def around(mapping: Mapping[str, Any], path: str) -> tuple[list[Mapping[str, Any]], str | None]:
    """The objects that hold the field `path` in a mapping, the root first, and its own type.

    Names with dots are found, too. The type is None where there is no such field yet.
    """
    holders, names = [mapping], path.split(".")
    while names:
        found = _child(holders[-1], names)
        if found is None:
            return holders, None
        child, names = found
        holders.append(child)
    return holders[:-1], str(holders[-1].get("type", "object"))


def _child(
    mapping: Mapping[str, Any], names: list[str]
) -> tuple[Mapping[str, Any], list[str]] | None:
    """The field that the first of these names lead to, and the names that are left."""
    for section in _SECTIONS:
        children = _children(mapping, section)
        for length in range(1, len(names) + 1):
            child = children.get(".".join(names[:length]))
            if child is not None:
                return child, names[length:]
    return None


def _parent_of(path: str, flat: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The field of which `path` is a multi-field; None for one of its own."""
    parent, _, name = path.rpartition(".")
    return parent if name in _children(flat.get(parent, {}), "fields") else None


def _listed(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
