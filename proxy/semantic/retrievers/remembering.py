"""Endpoints for one request, which has its texts embedded in parts."""

from __future__ import annotations

from collections.abc import Sequence

from proxy.inference.endpoints import InferenceEndpoint
from proxy.inference.results import WrittenEmbedding
from proxy.limits.deadline import Deadline
from proxy.semantic.passingon import PassingEndpoints
from proxy.semantic.ports import Endpoints


class RememberingEndpoints(PassingEndpoints):
    """Endpoints that embed each text once, however often a request has it."""

    def __init__(self, endpoints: Endpoints) -> None:
        super().__init__(endpoints)
        self._known: dict[tuple[str, str, str], WrittenEmbedding] = {}

    async def embed(
        self,
        endpoint: InferenceEndpoint,
        texts: Sequence[str],
        deadline: Deadline,
        input_type: str,
    ) -> Sequence[WrittenEmbedding]:
        keys = [(endpoint.inference_id, input_type, text) for text in texts]
        missing = list(dict.fromkeys(key for key in keys if key not in self._known))
        if missing:
            wanted = [text for *_, text in missing]
            vectors = await self._endpoints.embed(endpoint, wanted, deadline, input_type)
            self._known.update(zip(missing, vectors, strict=True))
        return [self._known[key] for key in keys]
