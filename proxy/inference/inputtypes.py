"""Kinds of inputs, for models whose texts begin with a word for what they are.

Elasticsearch refuses `input_type` for a Hugging Face endpoint. Here an endpoint knows those kinds
for which a prefix is configured, and all others are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from proxy.inference.endpoints import InferenceEndpoint, TaskType

INGEST: Final = "ingest"  # texts to be found
SEARCH: Final = "search"  # texts that look for others
_TASKS: Final = (TaskType.TEXT_EMBEDDING, TaskType.SPARSE_EMBEDDING)

PrefixesOf = Callable[[str], Mapping[str, str]]  # by input type, of an inference id


def no_prefixes(inference_id: str) -> Mapping[str, str]:
    """For a proxy whose endpoints know no kinds of inputs."""
    return {}


def prefix_for(
    prefixes_of: PrefixesOf, endpoint: InferenceEndpoint, input_type: str | None
) -> str | None:
    """What inputs of that kind begin with; None if the endpoint does not know the kind."""
    if input_type is None or endpoint.task_type not in _TASKS:
        return None
    return prefixes_of(endpoint.inference_id).get(input_type)


def with_prefix(prefix: str | None, texts: Sequence[str]) -> Sequence[str]:
    """The texts, each with the prefix before it if there is one."""
    return [prefix + text for text in texts] if prefix else texts
