"""What names an endpoint: semantic fields of indices, and `inference` processors of pipelines.

Source: TransportDeleteInferenceEndpointAction, InferenceProcessorInfoExtractor.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from proxy.inference.ports import Uses
from proxy.limits.threads import offload
from proxy.semantic.answerjson import AT_ONCE
from proxy.semantic.mappings import fields_of
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


def _indices(answer: UpstreamAnswer, inference_id: str) -> Iterator[str]:
    for name, index in _document(answer).items():
        for field in fields_of(index.get("mappings", {})).values():
            if inference_id in (field.inference_id, field.search_inference_id):
                yield name
                break


def _named(answer: UpstreamAnswer, inference_id: str) -> Iterator[str]:
    for name, pipeline in _document(answer).items():
        if inference_id in model_ids(pipeline):
            yield name


def _document(answer: UpstreamAnswer) -> dict[str, Any]:
    """What was found; empty where the proxy may not look, or there is nothing to look at."""
    return {} if answer.status == 404 or is_forbidden(answer) else told_by(answer)
