"""The parameters of a `semantic_text` field: checked as Elasticsearch does, in the form it keeps.

Source: SemanticTextFieldMapper, SemanticTextField, SemanticTextIndexOptions,
MinimalServiceSettings, FieldMapper.Parameter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from proxy.ground.errors import IllegalArgument, ProxyError
from proxy.inference.chunking import parse_chunking, render_chunking
from proxy.inference.endpoints import TaskType
from proxy.semantic.chunking.chunker import chunker_for
from proxy.semantic.errors import MapperParsingFailed, unparsable
from proxy.semantic.fields import TYPE
from proxy.semantic.modelsettings import KINDS, DenseModel, read_model_settings

# Those that stand in the upstream's own mapping of the field, which checks and keeps them.
OF_PLACEHOLDER: Final = ("fields", "copy_to", "meta")
_IDS: Final = ("inference_id", "search_inference_id")
_PARAMETERS: Final = frozenset(
    ("type", *_IDS, "model_settings", "chunking_settings", "index_options", *OF_PLACEHOLDER)
)
_OF_VECTORS: Final = ("dimensions", "similarity", "element_type")
_SIMILARITIES: Final = ("cosine", "dot_product", "l2_norm")
_ELEMENT_TYPES: Final = ("float", "byte", "bit")
_VECTOR_INDICES: Final = (
    "hnsw",
    "int8_hnsw",
    "int4_hnsw",
    "flat",
    "int8_flat",
    "int4_flat",
    "bbq_hnsw",
    "bbq_flat",
    "bbq_disk",
)
_OWN_SUBFIELD: Final = "inference"  # Elasticsearch's, below every semantic field

Definition = dict[str, Any]


def definition_from(mapping: Mapping[str, Any], path: str, default_id: str | None) -> Definition:
    """What a mapping says of the field `path`, without OF_PLACEHOLDER, and with an endpoint.

    `default_id` is the endpoint of fields that name none.
    Raises: MapperParsingFailed for parameters that Elasticsearch would not take.
    """
    name = path.rpartition(".")[2]
    try:
        return _checked(mapping, name, default_id)
    except ProxyError as error:
        raise unparsable(error) from None


def _checked(mapping: Mapping[str, Any], name: str, default_id: str | None) -> Definition:
    for parameter in mapping:
        if parameter not in _PARAMETERS:
            raise MapperParsingFailed(
                f"unknown parameter [{parameter}] on mapper [{name}] of type [{TYPE}]"
            )
    definition: Definition = {"type": TYPE, "inference_id": _inference_id(mapping, name)}
    if definition["inference_id"] is None:
        if default_id is None:
            raise IllegalArgument(
                f"[inference_id] is missing on mapper [{name}] of type [{TYPE}], and the proxy "
                "has no default: name an endpoint, or set [semantic.default_inference_id]"
            )
        definition["inference_id"] = default_id
    read = {
        "search_inference_id": lambda value: _id(value, "search_inference_id", name),
        "model_settings": _model_settings,
        "chunking_settings": _chunking_settings,
        "index_options": _index_options,
    }
    for parameter, reader in read.items():
        if (given := mapping.get(parameter)) is not None and (value := reader(given)) is not None:
            definition[parameter] = value
    return definition


def _inference_id(mapping: Mapping[str, Any], name: str) -> str | None:
    if "inference_id" not in mapping:
        return None
    value = mapping["inference_id"]
    if value is None:
        raise MapperParsingFailed(
            f"[inference_id] on mapper [{name}] of type [{TYPE}] must not have a [null] value"
        )
    return _id(value, "inference_id", name)


def _id(value: Any, parameter: str, name: str) -> str:
    if isinstance(value, bool | list | Mapping):
        raise IllegalArgument(f"[{parameter}] on mapper [{name}] of type [{TYPE}] must be a string")
    if value == "":
        raise IllegalArgument(
            f"[{parameter}] on mapper [{name}] of type [{TYPE}] must not be empty"
        )
    return str(value)


def _chunking_settings(value: Any) -> dict[str, Any] | None:
    """The settings in full; None for an empty object, which leaves them to the endpoint."""
    if not (given := _object(value, "chunking_settings")):
        return None
    settings = parse_chunking(given)
    chunker_for(settings)  # separators that are no patterns are told now, not document by document
    return render_chunking(settings)


def _model_settings(value: Any) -> dict[str, Any]:
    settings = _object(value, "model_settings")
    if (given := settings.get("task_type")) is None:
        raise IllegalArgument("Required [task_type]")
    try:
        task = TaskType(str(given).lower())
    except ValueError:
        raise IllegalArgument(f"Unknown task_type [{given}]") from None
    embeds = task is TaskType.TEXT_EMBEDDING
    for name in _OF_VECTORS:
        if embeds and settings.get(name) is None:
            raise IllegalArgument(f"required [{name}] field is missing for task_type [{task.name}]")
        if not embeds and settings.get(name) is not None:
            raise IllegalArgument(f"[{name}] is not allowed for task_type [{task.name}]")
    service = settings.get("service")
    named = {} if service is None else {"service": str(service)}
    of_vectors = _vector_settings(settings) if embeds else {}
    return {**named, "task_type": task.value, **of_vectors}


def _vector_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "dimensions": _dimensions(settings["dimensions"]),
        "similarity": _one_of(_SIMILARITIES, settings["similarity"], "similarity"),
        "element_type": _one_of(_ELEMENT_TYPES, settings["element_type"], "element_type"),
    }


def _dimensions(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):  # the last of 1e999, which is read as infinite
        raise IllegalArgument(
            f"[dimensions] in [model_settings] must be a number, got [{value}]"
        ) from None


def _one_of(allowed: tuple[str, ...], value: Any, name: str) -> str:
    found = str(value).lower()
    if found not in allowed:
        raise IllegalArgument(
            f"[{name}] in [model_settings] must be one of [{', '.join(allowed)}], got [{value}]"
        )
    return found


def _index_options(value: Any) -> dict[str, Any]:
    options = _object(value, "index_options")
    if len(options) != 1:
        raise IllegalArgument(f"Too many index options provided, found [{', '.join(options)}]")
    kind, found = next(iter(options.items()))
    if kind not in KINDS:
        raise IllegalArgument(f"Unknown index options type [{kind}]")
    found = _object(found, kind)
    if kind == DenseModel.mapped:
        if (type_ := found.get("type")) is None:
            raise IllegalArgument("Required type")
        if type_ not in _VECTOR_INDICES:
            raise IllegalArgument(f"Unsupported index options type {type_}")
    return {kind: dict(found)}


def _object(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise IllegalArgument(f"[{name}] should be a hash but was of type: {_java_type(value)}")
    return value


def _java_type(value: Any) -> str:
    kinds = {str: "String", bool: "Boolean", int: "Integer", float: "Double", list: "ArrayList"}
    return f"class java.{'util' if isinstance(value, list) else 'lang'}.{kinds.get(type(value))}"


def check_subfields(mapping: Mapping[str, Any], path: str) -> None:
    """Raises: IllegalArgument for a multi-field with the name of one of Elasticsearch's own."""
    fields = mapping.get("fields")
    if isinstance(fields, Mapping) and _OWN_SUBFIELD in fields:
        raise IllegalArgument(
            f"Field [{path}.{_OWN_SUBFIELD}] is already used by another field [{path}] internally. "
            "Please choose a different name."
        )


def check_task(definition: Mapping[str, Any]) -> None:
    """Raises: IllegalArgument for model settings of a task that makes no embeddings."""
    settings = definition.get("model_settings")
    if settings is not None and read_model_settings(settings) is None:
        task = TaskType(settings["task_type"])
        raise IllegalArgument(
            f"Wrong [task_type], expected text_embedding or sparse_embedding, got {task.name}"
        )
