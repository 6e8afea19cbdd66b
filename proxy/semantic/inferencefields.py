"""`_inference_fields` of a document: what Elasticsearch keeps of its semantic fields.

Source: InferenceMetadataFieldsMapper, SemanticTextField.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from proxy.semantic import layout
from proxy.semantic.cutting import Replacement
from proxy.semantic.fields import Fields, SemanticField
from proxy.semantic.sourcefilters import INFERENCE_FIELDS, Filter
from proxy.semantic.upstreamrelease import UpstreamRelease
from proxy.xcontent.loading import load_json
from proxy.xcontent.writing import dump_json

_OF_CHUNK: Final = frozenset(("field", "start", "end", layout.VECTOR))


async def shows_inference_fields(filter: Filter | None, release: UpstreamRelease) -> bool:
    """Whether a filter takes them in, as that release reads it. Raises: UpstreamError."""
    if filter is None or not filter.shows_inference_fields(by_name=True):
        return False
    return filter.shows_inference_fields(by_name=await release.hides_vectors())


def inference_fields(by_index: Mapping[str, Fields]) -> Replacement:
    """What is shown of what the layer keeps in documents of these indices."""

    def replacement(index: str, added: bytes) -> bytes | None:
        fields = by_index.get(index)
        if fields is None:
            return None
        shown = rendered(load_json(added), fields)
        if not shown:
            return None
        return b'"%b":%b' % (INFERENCE_FIELDS.encode(), dump_json(shown))

    return replacement


def rendered(added: Any, fields: Fields) -> dict[str, Any]:
    """The fields that have chunks, by path."""
    shown = {}
    for key, content in added.items() if isinstance(added, dict) else ():
        field = fields.get(layout.path_of(key))
        chunks = content.get(layout.CHUNKS) if isinstance(content, dict) else None
        if field is not None and isinstance(chunks, list) and chunks and _are_whole(chunks):
            shown[field.path] = {"inference": _inference(field, chunks)}
    return shown


def _are_whole(chunks: list[Any]) -> bool:
    """Whether they have all that is shown of them, and no filter of the source took it out."""
    return all(isinstance(chunk, dict) and chunk.keys() >= _OF_CHUNK for chunk in chunks)


def _inference(field: SemanticField, chunks: list[Any]) -> dict[str, Any]:
    by_source: dict[str, list[Any]] = {}
    for chunk in chunks:
        by_source.setdefault(chunk["field"], []).append(
            {
                "start_offset": chunk["start"],
                "end_offset": chunk["end"],
                "embeddings": chunk[layout.VECTOR],
            }
        )
    made: dict[str, Any] = {"inference_id": field.inference_id}
    if field.model is not None:
        made["model_settings"] = field.model.rendered()
    if (settings := field.definition.get("chunking_settings")) is not None:
        made["chunking_settings"] = settings
    return {**made, "chunks": by_source}
