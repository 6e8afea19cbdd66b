"""The texts of queries and their vectors: each text is embedded once, all of an endpoint together.

Source: SemanticQueryBuilder, TextEmbeddingQueryVectorBuilder.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from proxy.ground.errors import EndpointNotFound, IllegalArgument, ProxyError
from proxy.inference.endpoints import InferenceEndpoint, TaskType
from proxy.inference.inputtypes import SEARCH
from proxy.limits.deadline import Deadline
from proxy.semantic.ports import Endpoints

# What endpoints of other tasks answer, as Elasticsearch names it.
_OTHER_RESULTS: Final = {
    TaskType.SPARSE_EMBEDDING: "text_expansion_result",
    TaskType.RERANK: "rerank",
    TaskType.COMPLETION: "completion",
    TaskType.CHAT_COMPLETION: "chat_completion_results",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A text that an endpoint is to embed; `as_model` says how errors speak of the endpoint."""

    inference_id: str
    text: str
    as_model: bool = False


@dataclass(frozen=True, slots=True)
class Embedded:
    """What an endpoint made of a text."""

    vector: list[float]
    kind: str = "text_embedding_result"

    @property
    def is_vector(self) -> bool:
        return self.kind == "text_embedding_result"


@dataclass(slots=True)
class Vectors:
    """What has been embedded so far, and what failed."""

    found: dict[Wanted, Embedded] = field(default_factory=dict)
    failed: dict[Wanted, ProxyError] = field(default_factory=dict)

    def __getitem__(self, wanted: Wanted) -> Embedded:
        """Raises: ProxyError where the text could not be embedded."""
        if (error := self.failed.get(wanted)) is not None:
            raise error
        return self.found[wanted]

    def of_model(self, wanted: Wanted) -> list[float]:
        """The vector of an endpoint that is named as a model.

        Raises: ProxyError, also where the endpoint makes no vectors of texts.
        """
        made = self[wanted]
        if made.is_vector:
            return made.vector
        raise IllegalArgument(
            f"expected a result of type [text_embedding_result] received [{made.kind}]. "
            f"Is [{wanted.inference_id}] a text embedding model?"
        )

    def origins(self) -> dict[int, Wanted]:
        """What each vector was made of, by its identity."""
        return {id(one.vector): wanted for wanted, one in self.found.items()}


async def embedded(wanted: Iterable[Wanted], endpoints: Endpoints, deadline: Deadline) -> Vectors:
    """The vectors of these texts, those of one endpoint in one call; what fails is kept as such."""
    vectors = Vectors()
    by_endpoint: dict[str, list[Wanted]] = {}
    for one in dict.fromkeys(wanted):
        by_endpoint.setdefault(one.inference_id, []).append(one)
    works = [_embed(vectors, *one, endpoints, deadline) for one in by_endpoint.items()]
    if len(works) == 1:  # as in most searches, which then need no task for it
        await works[0]
        return vectors
    async with asyncio.TaskGroup() as tasks:
        for work in works:
            tasks.create_task(work)
    return vectors


async def _embed(
    vectors: Vectors,
    inference_id: str,
    group: Sequence[Wanted],
    endpoints: Endpoints,
    deadline: Deadline,
) -> None:
    try:
        endpoint = await endpoints.find(inference_id)
        if endpoint is None:
            vectors.failed.update({one: _not_found(one) for one in group})
            return
        made = await _made(endpoint, [one.text for one in group], endpoints, deadline)
        vectors.found.update({one: made[one.text] for one in group})
    except ProxyError as error:
        vectors.failed.update(dict.fromkeys(group, error))


async def _made(
    endpoint: InferenceEndpoint, texts: Sequence[str], endpoints: Endpoints, deadline: Deadline
) -> Mapping[str, Embedded]:
    distinct = list(dict.fromkeys(texts))
    other = _OTHER_RESULTS.get(endpoint.task_type)
    if other is not None:
        return dict.fromkeys(distinct, Embedded([], other))
    vectors = await endpoints.embed(endpoint, distinct, deadline, SEARCH)
    found = [Embedded(vector.to_list()) for vector in vectors]
    return dict(zip(distinct, found, strict=True))


def _not_found(wanted: Wanted) -> ProxyError:
    error = EndpointNotFound(wanted.inference_id)
    if wanted.as_model:
        error.reason = (
            f"[{wanted.inference_id}] is not an inference service model or a deployed ml model"
        )
    return error
