"""Vectors that a client sends along with a document, in the field `_inference_fields`.

That is one object, or has a field's path behind a dot: `_inference_fields.body`. What restores and
copies documents sends them, so that nothing is embedded again.
Source: SemanticInferenceMetadataFieldsMapper, SemanticTextFieldMapper, SemanticTextField.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from proxy.ground.errors import IllegalArgument, ProxyError
from proxy.semantic.errors import DocumentParsingFailed
from proxy.semantic.fields import Fields, SemanticField
from proxy.semantic.filling import Chunk, FieldFilling
from proxy.semantic.modelsettings import ModelSettings, read_model_settings
from proxy.semantic.sourcefilters import INFERENCE_FIELDS
from proxy.xcontent.writing import dump_json


def names_of_given(document: Mapping[str, Any]) -> list[str]:
    """The fields of a document that bring vectors along."""
    return [
        name
        for name in document
        if name.startswith(INFERENCE_FIELDS) and name.partition(".")[0] == INFERENCE_FIELDS
    ]


def given_vectors(document: Mapping[str, Any], fields: Fields) -> dict[str, FieldFilling]:
    """What a document's `_inference_fields` bring, by the path of the field.

    Raises: DocumentParsingFailed.
    """
    found = {}
    for path, given in _by_path(document):
        if path not in fields:
            raise _unparsable(IllegalArgument(f"Illegal inference field [{path}] found."))
        if given is not None:
            found[path] = _given(fields[path], given)
    return found


def _by_path(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name in names_of_given(document):
        value = document[name]
        if path := name.removeprefix(INFERENCE_FIELDS)[1:]:
            yield path, value
        elif isinstance(value, Mapping):
            yield from value.items()
        else:
            raise _unparsable(IllegalArgument("Failed to parse object: expecting an object"))


def _given(field: SemanticField, given: Any) -> FieldFilling:
    inference = given.get("inference") if isinstance(given, Mapping) else None
    if not isinstance(inference, Mapping):
        raise _unparsable(IllegalArgument("Required [inference]"))
    inference_id = inference.get("inference_id")
    if not isinstance(inference_id, str):
        raise _unparsable(IllegalArgument("Required [inference_id]"))
    if inference_id != field.inference_id:  # Elasticsearch has the two the wrong way round
        raise DocumentParsingFailed(
            f"[1:1] The configured inference_id [{inference_id}] for field [{field.path}] doesn't "
            f"match the inference_id [{field.inference_id}] reported in the document."
        )
    chunks = _chunks(inference.get("chunks"))
    model = _model(field, inference.get("model_settings"))
    if model is None and chunks:
        raise DocumentParsingFailed(
            f"[1:1] [model_settings] must be set for field [{field.path}] when chunks are provided"
        )
    if model is not None and field.model is not None and not model.fits(field.model):
        raise DocumentParsingFailed.of_models(field.path, field.model, model)
    return FieldFilling(semantic=field, sources=list(field.sources), chunks=chunks, model=model)


def _model(field: SemanticField, settings: Any) -> ModelSettings | None:
    match settings:
        case None:
            return None
        case Mapping() if (found := read_model_settings(settings)) is not None:
            return found
    raise _unparsable(IllegalArgument("[model_settings] failed to parse field [model_settings]"))


def _chunks(by_source: Any) -> list[Chunk]:
    if not isinstance(by_source, Mapping):
        raise _unparsable(IllegalArgument("Required [chunks]"))
    found = []
    for source, chunks in by_source.items():
        for chunk in chunks if isinstance(chunks, list) else [None]:
            match chunk:
                case {"start_offset": int(start), "end_offset": int(end), "embeddings": vector} if (
                    vector is not None
                ):
                    rendered = dump_json(vector)
                    found.append(Chunk(source=source, start=start, end=end, vector=rendered))
                case _:
                    problem = "[chunks] failed to parse field [chunks]"
                    raise _unparsable(IllegalArgument(problem))
    return found


def _unparsable(cause: ProxyError) -> DocumentParsingFailed:
    return DocumentParsingFailed(
        f"[1:1] failed to parse field [{INFERENCE_FIELDS}] of type [{INFERENCE_FIELDS}]",
        cause=cause,
    )
