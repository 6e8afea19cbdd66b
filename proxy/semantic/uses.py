"""What names an endpoint: semantic fields of indices, and `inference` processors of pipelines.

Source: TransportDeleteInferenceEndpointAction, InferenceProcessorInfoExtractor,
SemanticTextInfoExtractor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from proxy.inference.endpoints import InferenceEndpoint
from proxy.inference.ports import Uses
from proxy.limits.threads import offload
from proxy.semantic.answerjson import AT_ONCE
from proxy.semantic.fields import Fields, SemanticField
from proxy.semantic.mappings import fields_of
from proxy.semantic.modelsettings import model_settings_of
from proxy.semantic.pipelines import model_ids
from proxy.semantic.ports import Upstream, UpstreamAnswer
from proxy.semantic.told import is_forbidden, told_by

_MAPPINGS: Final = "/_all/_mapping?expand_wildcards=all"
_PIPELINES: Final = "/_ingest/pipeline"


async def uses_of(inference_id: str, upstream: Upstream) -> Uses:
    """The indices and pipelines that name an endpoint, as far as the proxy may see them.

    Raises: UpstreamError.
    """
    mappings = await upstream.ask_as_proxy("GET", _MAPPINGS)
    pipelines = await upstream.ask_as_proxy("GET", _PIPELINES)
    return Uses(
        indexes=await offload(
            len(mappings.body), AT_ONCE, lambda: tuple(sorted(_indices(mappings, inference_id)))
        ),
        pipelines=await offload(
            len(pipelines.body), AT_ONCE, lambda: tuple(sorted(_named(pipelines, inference_id)))
        ),
    )


def misfits(indices: Mapping[str, Fields], endpoint: InferenceEndpoint) -> tuple[str, ...]:
    """The indices, sorted, that name an endpoint and hold embeddings which its own do not fit.

    A field that no document has filled yet holds none, whatever there is room for.
    Source: TransportPutInferenceModelAction.findIndicesWithIncompatibleMappings.
    """
    return tuple(
        sorted(
            index
            for index, fields in indices.items()
            if any(
                _names(field, endpoint.inference_id) and not _goes_on(field, endpoint)
                for field in fields.values()
            )
        )
    )


def _goes_on(field: SemanticField, endpoint: InferenceEndpoint) -> bool:
    """Whether an endpoint may go on with what a field holds, as far as its model is known."""
    held = field.model
    if held is None or not (field.seen or field.definition.get("model_settings")):
        return True
    if endpoint.task_type is not held.task:
        return False
    made = model_settings_of(endpoint)
    return made is None or made.fits(held)


def _names(field: SemanticField, inference_id: str) -> bool:
    return inference_id in (field.inference_id, field.search_inference_id)


def _indices(answer: UpstreamAnswer, inference_id: str) -> Iterator[str]:
    for name, index in _document(answer).items():
        for field in fields_of(index.get("mappings", {})).values():
            if _names(field, inference_id):
                yield name
                break


def _named(answer: UpstreamAnswer, inference_id: str) -> Iterator[str]:
    for name, pipeline in _document(answer).items():
        if inference_id in model_ids(pipeline):
            yield name


def _document(answer: UpstreamAnswer) -> dict[str, Any]:
    """What was found; empty where the proxy may not look, or there is nothing to look at."""
    return {} if answer.status == 404 or is_forbidden(answer) else told_by(answer)
