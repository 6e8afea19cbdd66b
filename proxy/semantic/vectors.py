"""The texts of queries and their vectors: each text is embedded once, all of an endpoint together.

Source: SemanticQueryBuilder, TextEmbeddingQueryVectorBuilder.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from proxy.ground.errors import EndpointNotFound, IllegalArgument, ProxyError
from proxy.inference.endpoints import InferenceEndpoint, TaskType
from proxy.inference.inputtypes import SEARCH
from proxy.inference.results import WrittenEmbedding
from proxy.limits.deadline import Deadline
from proxy.semantic.modelsettings import RESULTS, TASKS
from proxy.semantic.ports import Endpoints
from proxy.xcontent.loading import load_json
from proxy.xcontent.numbers import Numbers

# What errors ask of an endpoint that was to do such a task.
_ASKED: Final[Mapping[TaskType, str]] = {
    TaskType.TEXT_EMBEDDING: "a text embedding model",
    TaskType.SPARSE_EMBEDDING: "a compatible model",
}


class Wanted(NamedTuple):
    """A text that an endpoint is to embed; `as_model` says how errors speak of the endpoint."""

    inference_id: str
    text: str
    as_model: bool = False


@dataclass(frozen=True, slots=True)
class Embedded:
    """What an endpoint made of a text."""

    vector: Any  # of the kind that the task makes; empty where it makes none
    task: TaskType = TaskType.TEXT_EMBEDDING


@dataclass(slots=True)
class Vectors:
    """What has been embedded so far, and what failed."""

    found: dict[Wanted, Embedded] = field(default_factory=dict)
    failed: dict[Wanted, ProxyError] = field(default_factory=dict)

    def __getitem__(self, wanted: Wanted) -> Embedded:
        """Raises: ProxyError where the text could not be embedded."""
        if self.failed and (error := self.failed.get(wanted)) is not None:
            raise error
        return self.found[wanted]

    def is_elsewhere(self, wanted: Wanted) -> bool:
        """Whether no endpoint of ours has that name."""
        return isinstance(self.failed.get(wanted), EndpointNotFound)

    def of_task(self, wanted: Wanted, task: TaskType) -> Any:
        """What an endpoint has made that a query needs to be of this task.

        Raises: ProxyError, also where the endpoint is of another task.
        """
        made = self[wanted]
        if made.task is task:
            return made.vector
        raise IllegalArgument(
            f"expected a result of type [{RESULTS[task]}] received [{RESULTS[made.task]}]. "
            f"Is [{wanted.inference_id}] {_ASKED[task]}?"
        )


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
    if endpoint.task_type not in TASKS:
        return dict.fromkeys(distinct, Embedded([], endpoint.task_type))
    vectors = await endpoints.embed(endpoint, distinct, deadline, SEARCH)
    found = [Embedded(_known(vector), endpoint.task_type) for vector in vectors]
    return dict(zip(distinct, found, strict=True))


def _known(made: WrittenEmbedding) -> Any:
    """Weights of tokens as such; vectors as they are written, as they are only passed on."""
    return made if isinstance(made, Numbers) else load_json(made.json)


def _not_found(wanted: Wanted) -> ProxyError:
    error = EndpointNotFound(wanted.inference_id)
    if wanted.as_model:
        error.reason = (
            f"[{wanted.inference_id}] is not an inference service model or a deployed ml model"
        )
    return error
