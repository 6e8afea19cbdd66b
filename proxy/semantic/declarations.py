"""Mappings that declare `semantic_text`, made into mappings that any Elasticsearch takes.

Source: SemanticTextFieldMapper, MapperService.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Final

from proxy.errors import IllegalArgument, ProxyError
from proxy.inference.chunking import parse_chunking
from proxy.semantic import layout
from proxy.semantic.errors import MapperParsingFailed, unparsable
from proxy.semantic.fields import TYPE, ModelSettings, read_model_settings

_PARAMETERS: Final = frozenset(
    (
        "type",
        "inference_id",
        "search_inference_id",
        "model_settings",
        "chunking_settings",
        "index_options",
        "meta",
        "fields",
        "copy_to",
    )
)
_VECTOR_SETTINGS: Final = ("dimensions", "similarity", "element_type")
_INDEX_OPTIONS: Final = ("dense_vector", "sparse_vector")

Definition = dict[str, Any]
IsOurs = Callable[[Mapping[str, Any]], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """A semantic field that a mapping declares; its definition is without `type`'s siblings that
    stand in the mapping itself, `fields` and `copy_to`."""

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


def declare(mapping: Mapping[str, Any], is_ours: IsOurs, default_id: str | None) -> Declared:
    """Put placeholders where a mapping declares semantic fields; those that are not ours stay.

    `default_id` is the endpoint of fields that name none.
    Raises: MapperParsingFailed, IllegalArgument as Elasticsearch does for a declaration.
    """
    walk = _Walk(is_ours, default_id)
    declared = walk.object(mapping, "", _Place())
    if walk.found:
        _check_source_filter(mapping)
        if mapping.get("subobjects") is False:
            raise IllegalArgument(_SUBOBJECTS.format(path=walk.found[0].path))
    return Declared(mapping=declared, fields=tuple(walk.found))


_SUBOBJECTS: Final = (
    "semantic_text field [{path}] cannot be in an object field with subobjects disabled"
)


@dataclass(frozen=True, slots=True)
class _Place:
    """What holds around a field."""

    nested: bool = False
    subobjects: bool = True
    multi: bool = False  # below `fields`


class _Walk:
    """Goes through a mapping and collects what it declares."""

    def __init__(self, is_ours: IsOurs, default_id: str | None) -> None:
        self.found: list[Declaration] = []
        self._is_ours = is_ours
        self._default_id = default_id

    def object(self, mapping: Mapping[str, Any], path: str, place: _Place) -> dict[str, Any]:
        """The mapping of a field or of the root, with placeholders below it."""
        result = dict(mapping)
        if mapping.get("type") == "nested":
            place = replace(place, nested=True)
        if mapping.get("subobjects") is False:
            place = replace(place, subobjects=False)
        below = {"properties": place, "fields": replace(place, multi=True)}
        for section, around in below.items():
            children = mapping.get(section)
            if isinstance(children, Mapping):
                result[section] = {
                    name: self._child(child, f"{path}.{name}" if path else name, around)
                    for name, child in children.items()
                }
        return result

    def _child(self, mapping: Any, path: str, place: _Place) -> Any:
        if not isinstance(mapping, Mapping):
            return mapping
        if mapping.get("type") != TYPE:
            return self.object(mapping, path, place)
        definition = with_id(mapping, path, self._default_id)
        if not self._is_ours(definition):
            return mapping
        check_definition(definition, path)
        if place.nested:
            raise IllegalArgument(f"semantic_text field [{path}] cannot be nested")
        if not place.subobjects:
            raise IllegalArgument(_SUBOBJECTS.format(path=path))
        kept = {name: mapping[name] for name in ("fields", "copy_to") if name in mapping}
        self.found.append(
            Declaration(
                path=path,
                definition={name: value for name, value in definition.items() if name not in kept},
            )
        )
        return {**layout.PLACEHOLDER, **self.object(kept, path, place)}


def with_id(definition: Mapping[str, Any], path: str, default_id: str | None) -> Definition:
    """The definition with its endpoint named. Raises: MapperParsingFailed without any."""
    if definition.get("inference_id") is not None:
        return dict(definition)
    if default_id is None:
        raise unparsable(
            IllegalArgument(
                f"[inference_id] is missing on mapper [{path}] of type [{TYPE}], and the proxy has "
                "no default: name an endpoint, or set [semantic.default_inference_id]"
            )
        )
    return {**definition, "inference_id": default_id}


def check_definition(definition: Definition, path: str) -> None:
    """Raises: MapperParsingFailed for parameters that Elasticsearch would not take."""
    name = path.rpartition(".")[2]
    for parameter in definition:
        if parameter not in _PARAMETERS:
            raise MapperParsingFailed(
                f"unknown parameter [{parameter}] on mapper [{name}] of type [{TYPE}]"
            )
    try:
        for parameter in ("inference_id", "search_inference_id"):
            if definition.get(parameter) == "":
                raise IllegalArgument(
                    f"[{parameter}] on mapper [{name}] of type [{TYPE}] must not be empty"
                )
        if settings := definition.get("chunking_settings"):
            parse_chunking(_object(settings, "chunking_settings"))
        if (settings := definition.get("model_settings")) is not None:
            _check_model_settings(_object(settings, "model_settings"))
        if (options := definition.get("index_options")) is not None:
            _check_index_options(_object(options, "index_options"))
    except ProxyError as error:
        raise unparsable(error) from None


def model_for(declaration: Declaration, registered: ModelSettings | None) -> ModelSettings | None:
    """The model of a declared field; `registered` is that of its endpoint, if it is known.

    Raises: IllegalArgument where the two differ, or index options need a model that is not known.
    """
    settings = declaration.definition.get("model_settings")
    given = None if settings is None else read_model_settings({"service": "", **settings})
    if given is not None and registered is not None and not given.fits(registered):
        raise IllegalArgument(
            "Mismatch between provided and registered inference model settings. "
            f"Provided: [{given.shown}], Expected: [{registered.shown}]."
        )
    model = registered or given
    if model is None and declaration.definition.get("index_options") is not None:
        inference_id = declaration.definition["inference_id"]
        raise IllegalArgument(
            "Model settings must be set to validate index options for inference ID "
            f"[{inference_id}]"
        )
    return model


def completed(
    declared: Declared,
    models: Mapping[str, ModelSettings | None],
    numbers: Mapping[str, int],
) -> dict[str, Any]:
    """The mapping for the upstream; models and numbers of definitions by the field's path."""
    if not declared.fields:
        return declared.mapping
    mapping = dict(declared.mapping)
    below = {}
    for field in declared.fields:
        model = models[field.path]
        below[layout.key_of(field.path)] = layout.field_mapping(
            field.definition,
            None if model is None else model.rendered(),
            number=numbers.get(field.path, 1),
        )
    mapping["properties"] = {
        **mapping.get("properties", {}),
        layout.CONTAINER: layout.container(below),
    }
    includes = _source_filter(mapping, "includes")
    if includes and not any(fnmatchcase(layout.CONTAINER, pattern) for pattern in includes):
        mapping["_source"] = {**mapping["_source"], "includes": [*includes, layout.CONTAINER]}
    return mapping


def _check_source_filter(mapping: Mapping[str, Any]) -> None:
    for pattern in _source_filter(mapping, "excludes"):
        if fnmatchcase(layout.CONTAINER, pattern) or pattern.startswith(f"{layout.CONTAINER}."):
            raise IllegalArgument(
                f"[_source.excludes] pattern [{pattern}] would exclude the vectors of fields of "
                f"type [{TYPE}]"
            )


def _source_filter(mapping: Mapping[str, Any], name: str) -> list[str]:
    source = mapping.get("_source")
    found = source.get(name) if isinstance(source, Mapping) else None
    if isinstance(found, str):
        return [found]
    return [pattern for pattern in found if isinstance(pattern, str)] if found else []


def _object(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise IllegalArgument(f"[{name}] must be a map, got [{type(value).__name__}]")
    return value


def _check_model_settings(settings: Mapping[str, Any]) -> None:
    task = str(settings.get("task_type", "")).upper()
    if task == "TEXT_EMBEDDING":
        for name in _VECTOR_SETTINGS:
            if settings.get(name) is None:
                raise IllegalArgument(f"required [{name}] field is missing for task_type [{task}]")
    elif task != "SPARSE_EMBEDDING":
        raise IllegalArgument(
            f"Wrong [task_type], expected text_embedding or sparse_embedding, got {task}"
        )


def _check_index_options(options: Mapping[str, Any]) -> None:
    if len(options) > 1:
        raise IllegalArgument(f"Too many index options provided, found [{', '.join(options)}]")
    for name, value in options.items():
        if name not in _INDEX_OPTIONS:
            raise IllegalArgument(f"Unknown index options type [{name}]")
        if name == "sparse_vector":
            raise IllegalArgument(
                "Invalid task type for index options, required [sparse_embedding] but was "
                "[text_embedding]"
            )
        if not isinstance(value, Mapping) or value.get("type") is None:
            raise IllegalArgument("Required type")


def _shown(model: ModelSettings) -> str:
    return (
        f"task_type={model.task_type}, dimensions={model.dimensions}, "
        f"similarity={model.similarity}, element_type={model.element_type}"
    )
