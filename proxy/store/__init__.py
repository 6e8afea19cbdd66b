"""Where endpoint configurations live: one protocol, two stores, every record sealed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from proxy.endpoints import InferenceEndpoint, TaskType

Change = Callable[[InferenceEndpoint], InferenceEndpoint]


class EndpointStore(Protocol):
    """Endpoint configurations by inference id.

    Every method raises StoreError when the store cannot be used. A method that returns has made
    its change durable.
    """

    async def open(self) -> None:
        """Make the store ready: connect, create what is missing, check the encryption key."""

    async def close(self) -> None:
        """Give up connections and files."""

    async def create(self, endpoint: InferenceEndpoint) -> None:
        """Add a new endpoint, or raise EndpointAlreadyExists."""

    async def get(self, inference_id: str) -> InferenceEndpoint:
        """The endpoint, or EndpointNotFound."""

    async def find(self, task_type: TaskType | None = None) -> list[InferenceEndpoint]:
        """All endpoints, or those of one task type, sorted by id."""

    async def update(self, inference_id: str, change: Change) -> InferenceEndpoint:
        """Replace the endpoint by `change(endpoint)` atomically; EndpointNotFound if missing."""

    async def delete(self, inference_id: str) -> None:
        """Remove the endpoint, or raise EndpointNotFound."""
