"""What an upstream's mapping says about semantic fields, and how users see it.

Source: SemanticTextFieldMapper, FieldTypeLookup.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from proxy.semantic import layout
from proxy.semantic.fields import TYPE, SemanticField, read_model_settings


def fields_of(mapping: Mapping[str, Any]) -> dict[str, SemanticField]:
    """The semantic fields of an index by path, read from its mapping as the upstream shows it."""
    ours = _ours(mapping)
    if not ours:
        return {}
    flat = dict(_leaves(mapping, ""))
    copied: dict[str, list[str]] = {}
    for path, leaf in flat.items():
        for target in _listed(leaf.get("copy_to")):
            copied.setdefault(target, []).append(path)
    fields = {}
    for path, below in ours.items():
        found = layout.definition_of(below)
        if found is None or not layout.is_placeholder(flat.get(path, {})):
            continue
        number, definition = found
        own = _parent_of(path, flat) or path
        model = layout.model_of(below)
        fields[path] = SemanticField(
            path=path,
            definition=definition,
            number=number,
            model=None if model is None else read_model_settings(model),
            seen=layout.is_seen(below),
            sources=tuple(sorted({own, *copied.get(own, ())})),
        )
    return fields


def field_aliases(mapping: Mapping[str, Any]) -> dict[str, str]:
    """The fields of type `alias`, with the paths that they stand for."""
    return {
        path: str(leaf.get("path"))
        for path, leaf in _leaves(mapping, "")
        if leaf.get("type") == "alias"
    }


def as_declared(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping as its user declared it: what we added is gone, semantic fields are back."""
    fields = fields_of(mapping)
    shown = _shown(mapping, "", fields)
    if isinstance(properties := shown.get("properties"), dict) and _ours(mapping):
        del properties[layout.CONTAINER]
    return shown


def shown_field(field: SemanticField, mapping: Mapping[str, Any]) -> dict[str, Any]:
    """A semantic field as mappings show it; `mapping` is that of its placeholder."""
    definition = {**field.definition, "type": TYPE}
    if field.seen and field.model is not None:
        definition["model_settings"] = field.model.rendered()
    for name in ("fields", "copy_to"):
        if name in mapping:
            definition[name] = mapping[name]
    return definition


def _shown(
    mapping: Mapping[str, Any], path: str, fields: Mapping[str, SemanticField]
) -> dict[str, Any]:
    result = dict(mapping)
    for section in ("properties", "fields"):
        children = mapping.get(section)
        if isinstance(children, Mapping):
            result[section] = {
                name: _shown(child, f"{path}.{name}" if path else name, fields)
                for name, child in children.items()
            }
    field = fields.get(path)
    return result if field is None else shown_field(field, result)


def _ours(mapping: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """What is mapped below `xinf`, by the path of the field."""
    container = mapping.get("properties", {}).get(layout.CONTAINER, {})
    return {
        layout.path_of(key): below
        for key, below in container.get("properties", {}).items()
        if layout.definition_of(below) is not None
    }


def _leaves(mapping: Mapping[str, Any], path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every field by its path, those of multi-fields included."""
    for section in ("properties", "fields"):
        for name, child in mapping.get(section, {}).items():
            if not path and name == layout.CONTAINER:
                continue
            full = f"{path}.{name}" if path else name
            yield full, child
            yield from _leaves(child, full)


def _parent_of(path: str, flat: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The field of which `path` is a multi-field; None for one of its own."""
    parent, _, name = path.rpartition(".")
    return parent if name in flat.get(parent, {}).get("fields", {}) else None


def _listed(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
