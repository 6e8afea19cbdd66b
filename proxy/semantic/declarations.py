"""Mappings that declare `semantic_text`, made into mappings that any Elasticsearch takes.

Source: SemanticTextFieldMapper, MapperService.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Final

from proxy.ground.errors import IllegalArgument
from proxy.semantic import layout
from proxy.semantic.errors import MapperParsingFailed, unparsable
from proxy.semantic.fields import TYPE
from proxy.semantic.modelsettings import KINDS, ModelSettings, read_model_settings
from proxy.semantic.parameters import (
    OF_PLACEHOLDER,
    Definition,
    check_subfields,
    check_task,
    definition_from,
)

_SUBOBJECTS: Final = (
    "semantic_text field [{path}] cannot be in an object field with subobjects disabled"
)

IsOurs = Callable[[Mapping[str, Any]], bool]
DefaultId = Callable[[str], str | None]  # the endpoint of the field with a path that names none


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """A semantic field that a mapping declares.

    Its definition is without what stands in the upstream's mapping: OF_PLACEHOLDER.
    """

    path: str
    definition: Definition


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """A mapping with placeholders for its semantic fields, and what it declares of these."""

    mapping: dict[str, Any]
    fields: tuple[Declaration, ...]


def semantic_definitions(mapping: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every definition of a semantic field in a mapping, wherever it stands."""
    for section in ("properties", "fields"):
        children = mapping.get(section)
        if not isinstance(children, Mapping):
            continue
        for child in children.values():
            if isinstance(child, Mapping):
                if child.get("type") == TYPE:
                    yield child
                yield from semantic_definitions(child)
    for _, template in _dynamic_templates(mapping):
        if template.get("type") == TYPE:
            yield template


def declare(mapping: Mapping[str, Any], is_ours: IsOurs, default_id: DefaultId) -> Declared:
    """Put placeholders where a mapping declares semantic fields; those that are not ours stay.

    Raises: MapperParsingFailed, IllegalArgument as Elasticsearch does for a declaration.
    """
    for name, template in _dynamic_templates(mapping):
        if template.get("type") == TYPE and is_ours(template):
            raise unparsable(
                MapperParsingFailed(
                    f"Field [{name}] of type [{TYPE}] can't be used in dynamic templates"
                )
            )
    walk = _Walk(is_ours, default_id)
    declared = walk.object(mapping, "", _Place())
    if walk.found:
        _check_root(mapping, walk.found[0].path)
    return Declared(mapping=declared, fields=tuple(walk.found))


def _dynamic_templates(mapping: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The mapping that each dynamic template gives to its fields."""
    listed = mapping.get("dynamic_templates")
    for entry in listed if isinstance(listed, list) else ():
        for name, template in entry.items() if isinstance(entry, Mapping) else ():
            found = template.get("mapping") if isinstance(template, Mapping) else None
            if isinstance(found, Mapping):
                yield name, found


def _check_root(mapping: Mapping[str, Any], path: str) -> None:
    """Whether the root leaves room for what belongs to semantic fields, `path` for one."""
    if has_no_subobjects(mapping):
        raise IllegalArgument(_SUBOBJECTS.format(path=path))
    for name in _properties(mapping):
        if name.partition(".")[0] == layout.CONTAINER:
            raise IllegalArgument(
                f"field [{name}] is reserved in indices with fields of type [{TYPE}]"
            )
    for pattern in _source_filter(mapping, "excludes"):
        if fnmatchcase(layout.CONTAINER, pattern) or pattern.startswith(f"{layout.CONTAINER}."):
            raise IllegalArgument(
                f"[_source.excludes] pattern [{pattern}] would exclude the vectors of fields of "
                f"type [{TYPE}]"
            )


def has_no_subobjects(mapping: Mapping[str, Any]) -> bool:
    """Whether an object keeps the fields below it as if they were its own, names with dots."""
    return mapping.get("subobjects") in (False, "false", "auto")


@dataclass(frozen=True, slots=True)
class _Place:
    """What holds around a field."""

    nested: bool = False
    subobjects: bool = True


class _Walk:
    """Goes through a mapping and collects what it declares."""

    def __init__(self, is_ours: IsOurs, default_id: DefaultId) -> None:
        self.found: list[Declaration] = []
        self._is_ours = is_ours
        self._default_id = default_id

    def object(self, mapping: Mapping[str, Any], path: str, place: _Place) -> dict[str, Any]:
        """The mapping of a field or of the root, with placeholders below it."""
        result = dict(mapping)
        if mapping.get("type") == "nested":
            place = replace(place, nested=True)
        if has_no_subobjects(mapping):
            place = replace(place, subobjects=False)
        for section in ("properties", "fields"):
            children = mapping.get(section)
            if isinstance(children, Mapping):
                result[section] = {
                    name: self._child(child, f"{path}.{name}" if path else name, place)
                    for name, child in children.items()
                }
        return result

    def _child(self, mapping: Any, path: str, place: _Place) -> Any:
        if not isinstance(mapping, Mapping):
            return mapping
        if mapping.get("type") != TYPE:
            return self.object(mapping, path, place)
        if not self._is_ours(mapping):
            return mapping
        definition = definition_from(mapping, path, self._default_id(path))
        check_task(definition)
        check_place(path, nested=place.nested, subobjects=place.subobjects)
        check_subfields(mapping, path)
        self.found.append(Declaration(path=path, definition=definition))
        kept = {name: mapping[name] for name in OF_PLACEHOLDER if name in mapping}
        return {**layout.PLACEHOLDER, **self.object(kept, path, place)}


def check_place(path: str, *, nested: bool, subobjects: bool) -> None:
    """Raises: IllegalArgument where no semantic field can be."""
    if nested:
        raise IllegalArgument(f"semantic_text field [{path}] cannot be nested")
    if not subobjects:
        raise IllegalArgument(_SUBOBJECTS.format(path=path))


def model_for(declaration: Declaration, registered: ModelSettings | None) -> ModelSettings | None:
    """The model of a declared field; `registered` is that of its endpoint, if it is known.

    Raises: IllegalArgument where the two differ, or index options do not suit the model.
    """
    definition = declaration.definition
    settings = definition.get("model_settings")
    given = None if settings is None else read_model_settings(settings)
    if given is not None and registered is not None and not given.fits(registered):
        raise IllegalArgument(
            "Mismatch between provided and registered inference model settings. "
            f"Provided: [{given.shown}], Expected: [{registered.shown}]."
        )
    model = given or registered
    if (options := definition.get("index_options")) is not None:
        if model is None:
            raise IllegalArgument(
                "Model settings must be set to validate index options for inference ID "
                f"[{definition['inference_id']}]"
            )
        if model.mapped not in options:
            (required,) = (KINDS[kind].task for kind in options)
            raise IllegalArgument(
                f"Invalid task type for index options, required [{required}] but was [{model.task}]"
            )
    return model


def completed(mapping: Mapping[str, Any], below: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping for the upstream, of one with placeholders.

    `below` has what belongs to each semantic field, by the field's path.
    """
    properties = {
        **_properties(mapping),
        layout.CONTAINER: layout.container(
            {layout.key_of(path): content for path, content in below.items()}
        ),
    }
    made = {**mapping, "properties": properties}
    includes = _source_filter(mapping, "includes")
    if includes and not any(fnmatchcase(layout.CONTAINER, pattern) for pattern in includes):
        made["_source"] = {**mapping["_source"], "includes": [*includes, layout.CONTAINER]}
    return made


def _properties(mapping: Mapping[str, Any]) -> Mapping[str, Any]:
    found = mapping.get("properties")
    return found if isinstance(found, Mapping) else {}


def _source_filter(mapping: Mapping[str, Any], name: str) -> list[str]:
    source = mapping.get("_source")
    found = source.get(name) if isinstance(source, Mapping) else None
    if isinstance(found, str):
        return [found]
    listed = found if isinstance(found, list) else ()
    return [pattern for pattern in listed if isinstance(pattern, str)]
