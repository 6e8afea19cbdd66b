"""The use cases of the inference service; knows nothing of HTTP between caller and proxy.

Source: TransportPutInferenceModelAction, TransportInferenceAction and their siblings.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Final

from proxy.errors import (
    Cause,
    CountMismatch,
    EndpointAlreadyExists,
    EndpointNotFound,
    EndpointNotUpdated,
    MemoryShort,
    ProxyError,
    RecordRefused,
    StatusError,
    ValidationFailed,
)
from proxy.inference.chat import ChatRequest
from proxy.inference.endpoints import STREAMING_TASKS, EndpointUpdate, InferenceEndpoint, TaskType
from proxy.inference.ports import EndpointStore, Provider
from proxy.inference.releases import DEFAULT, Profile
from proxy.inference.requests import InferenceRequest, refuse_input_type
from proxy.inference.results import (
    RankedDocument,
    render_completion,
    render_completion_deltas,
    render_embeddings,
    render_rerank,
    render_sparse,
)
from proxy.limits.deadline import Deadline
from proxy.xcontent.values import Json

_PROBE: Final = "how big"
_PROBE_QUERY: Final = "test query"
_PROBE_FAILED: Final = (
    "Could not complete inference endpoint creation as validation call to service threw an "
    "exception."
)


class InferenceService:
    """Everything that can be done with endpoints; times are seconds.

    Unless a method says more, it raises EndpointNotFound, StoreError and, where a provider is
    called, what failures.py makes of its failures.
    """

    def __init__(
        self,
        store: EndpointStore,
        provider: Provider,
        default_timeout: float,
        profile: Profile = DEFAULT,
    ) -> None:
        self._store = store
        self._provider = provider
        self._default_timeout = default_timeout
        self._profile = profile

    # Endpoints

    async def put(
        self,
        endpoint: InferenceEndpoint,
        timeout: float | None,
        is_taken: Callable[[], Awaitable[bool]],
    ) -> InferenceEndpoint:
        """Try the endpoint, complete it by what the provider says, and store it.

        `is_taken` tells whether somebody else than the store has an endpoint of this id.
        Raises: StatusError 400 when the try fails; MemoryShort; EndpointAlreadyExists.
        """
        endpoint = await self._tried(endpoint, timeout)
        if await is_taken():
            raise EndpointAlreadyExists(endpoint.inference_id)
        await self._store.create(endpoint)
        return endpoint

    async def exists(self, inference_id: str) -> bool:
        """Whether the store has an endpoint of this id."""
        try:
            await self._store.get(inference_id)
        except EndpointNotFound:
            return False
        except RecordRefused:
            return True
        return True

    async def get(self, inference_id: str, task_type: TaskType) -> InferenceEndpoint:
        """The endpoint. Raises: StatusError 400 when it has another task than was asked for."""
        endpoint = await self._store.get(inference_id)
        if task_type not in (TaskType.ANY, endpoint.task_type):
            raise StatusError(
                400,
                f"Requested task type [{task_type}] does not match the inference endpoint's task "
                f"type [{endpoint.task_type}]",
            )
        return endpoint

    async def find(self, task_type: TaskType) -> list[InferenceEndpoint]:
        """All endpoints, or those of one task type, sorted by id."""
        return await self._store.find(None if task_type is TaskType.ANY else task_type)

    async def update(
        self,
        inference_id: str,
        task_type: TaskType,
        update: EndpointUpdate,
        timeout: float | None = None,
    ) -> InferenceEndpoint:
        """Change the token or other settings. Raises: StatusError, ValidationFailed."""

        def change(endpoint: InferenceEndpoint) -> InferenceEndpoint:
            if endpoint.task_type is not task_type:
                reason = "Task type must match the task type of the existing endpoint"
                raise StatusError(400, reason)
            return update.apply(endpoint)

        try:
            if not update.rules.tries_changes:
                return await self._store.update(inference_id, change)
            old = await self._store.get(inference_id)
            if (new := change(old)) == old:
                return old
            found = (await self._tried(new, timeout)).service_settings
            return await self._store.update(
                inference_id,
                lambda endpoint: change(endpoint).with_service_settings(
                    dimensions=found.dimensions, similarity=found.similarity
                ),
            )
        except EndpointNotFound:
            raise EndpointNotUpdated(inference_id) from None

    async def delete(self, inference_id: str, task_type: TaskType, *, dry_run: bool) -> Json:
        """Remove the endpoint; a dry run only tells what would hinder it."""
        with suppress(RecordRefused):  # what cannot be read can still be removed
            await self.get(inference_id, task_type)
        if dry_run:
            return {"acknowledged": False, "pipelines": [], "indexes": [], "error_message": ""}
        await self._store.delete(inference_id)
        return {"acknowledged": True, "pipelines": [], "indexes": []}

    # Inference

    async def endpoint_for(self, inference_id: str, task_type: TaskType) -> InferenceEndpoint:
        """The endpoint that a request of this task type may use. Raises: StatusError 400."""
        endpoint = await self._store.get(inference_id)
        if task_type not in (TaskType.ANY, endpoint.task_type):
            raise StatusError(
                400,
                f"Incompatible task_type, the requested type [{task_type}] does not match the "
                f"model type [{endpoint.task_type}]",
            )
        return endpoint

    async def infer(
        self, endpoint: InferenceEndpoint, request: InferenceRequest, timeout: float | None
    ) -> Json:
        """The result in Elasticsearch's shape. Raises: ValidationFailed, RequestTimedOut."""
        inputs = _checked_inputs(endpoint, request)
        async with self._deadline(endpoint, timeout) as deadline:
            match endpoint.task_type:
                case TaskType.TEXT_EMBEDDING:
                    return render_embeddings(await self._provider.embed(endpoint, inputs, deadline))
                case TaskType.SPARSE_EMBEDDING:
                    return render_sparse(
                        await self._provider.embed_sparse(endpoint, inputs, deadline)
                    )
                case TaskType.RERANK:
                    return render_rerank(await self._rerank(endpoint, request, inputs, deadline))
                case _:
                    return render_completion(
                        await self._provider.complete(endpoint, inputs[0], deadline)
                    )

    @asynccontextmanager
    async def stream(
        self, endpoint: InferenceEndpoint, request: InferenceRequest, timeout: float | None
    ) -> AsyncIterator[AsyncIterator[Json]]:
        """The events of a streamed completion; entered when the provider has begun to answer."""
        text = _checked_inputs(endpoint, request)[0]
        async with AsyncExitStack() as stack:
            async with self._deadline(endpoint, timeout) as deadline:
                deltas = await stack.enter_async_context(
                    self._provider.stream_completion(endpoint, text, deadline)
                )
            yield (render_completion_deltas(delta) async for delta in deltas)

    @asynccontextmanager
    async def chat(
        self, endpoint: InferenceEndpoint, request: ChatRequest, timeout: float | None
    ) -> AsyncIterator[AsyncIterator[Json]]:
        """The chunks of a chat; entered when the provider has begun to answer."""
        async with AsyncExitStack() as stack:
            async with self._deadline(endpoint, timeout) as deadline:
                chunks = await stack.enter_async_context(
                    self._provider.stream_chat(endpoint, request, deadline)
                )
            yield chunks

    async def whole_chat(
        self, endpoint: InferenceEndpoint, request: ChatRequest, timeout: float | None
    ) -> Json:
        """The answer of a chat in one piece."""
        async with self._deadline(endpoint, timeout) as deadline:
            return await self._provider.chat(endpoint, request, deadline)

    async def _rerank(
        self,
        endpoint: InferenceEndpoint,
        request: InferenceRequest,
        inputs: Sequence[str],
        deadline: Deadline,
    ) -> list[RankedDocument]:
        """The request's own fields count, then the stored settings."""
        stored = endpoint.task_settings
        return_documents = request.return_documents
        return await self._provider.rerank(
            endpoint,
            request.query or "",
            inputs,
            deadline,
            top_n=stored.top_n if request.top_n is None else request.top_n,
            return_documents=stored.return_documents
            if return_documents is None
            else return_documents,
        )

    async def _tried(self, endpoint: InferenceEndpoint, timeout: float | None) -> InferenceEndpoint:
        """The endpoint, completed by what its provider says.

        Raises: StatusError 400; MemoryShort.
        """
        try:
            return await self._probe(endpoint, timeout)
        except _Unusable as unusable:
            raise unusable.error from None
        except MemoryShort:
            raise  # says nothing of the endpoint
        except ProxyError as error:
            raise StatusError(400, _PROBE_FAILED, cause=error) from None

    async def _probe(self, endpoint: InferenceEndpoint, timeout: float | None) -> InferenceEndpoint:
        """Call the endpoint once the way its task is called; embeddings tell their dimensions."""
        request = InferenceRequest(input=[_PROBE], query=_PROBE_QUERY)
        match endpoint.task_type:
            case TaskType.CHAT_COMPLETION:
                message: Json = {"content": _PROBE, "role": "user"}
                async with self.chat(endpoint, ChatRequest(messages=[message]), timeout):
                    return endpoint
            case TaskType.TEXT_EMBEDDING:
                try:
                    result = await self.infer(endpoint, request, timeout)
                except CountMismatch as mismatch:
                    if mismatch.results:
                        raise
                    raise _unusable("Embeddings list is empty") from None
                return _with_dimensions(endpoint, result)
            case _:
                await self.infer(endpoint, request, timeout)
                return endpoint

    @asynccontextmanager
    async def _deadline(
        self, endpoint: InferenceEndpoint, timeout: float | None
    ) -> AsyncIterator[Deadline]:
        """Bounds what is done within to `timeout` seconds, or to the default."""
        seconds = timeout
        if seconds is None:
            seconds = self._profile.default_timeout(
                streams=endpoint.streams, configured=self._default_timeout
            )
        try:
            async with asyncio.timeout(None if seconds < 0 else seconds):
                yield Deadline.after(seconds)
        except TimeoutError:
            raise self._profile.timed_out(endpoint.inference_id, seconds) from None


class _Unusable(Exception):
    """The provider answered, but no endpoint can be made of the answer."""

    def __init__(self, error: ProxyError) -> None:
        super().__init__(error.reason)
        self.error = error


def _with_dimensions(endpoint: InferenceEndpoint, result: Json) -> InferenceEndpoint:
    """The endpoint with the size of the probe's vector, whatever was configured."""
    vector = result["text_embedding"][0]["embedding"]
    if not vector:
        raise _unusable("The embedding is empty")
    similarity = endpoint.service_settings.similarity or "cosine"
    return endpoint.with_service_settings(dimensions=len(vector), similarity=similarity)


def _unusable(what: str) -> _Unusable:
    cause = Cause("illegal_state_exception", what)
    return _Unusable(StatusError(400, "Could not determine embedding size", cause=cause))


def _checked_inputs(endpoint: InferenceEndpoint, request: InferenceRequest) -> list[str]:
    """The inputs, if the task can take them. Raises: ValidationFailed, StatusError 400."""
    inputs = request.input or []
    if endpoint.task_type is TaskType.RERANK and request.query is None:
        raise ValidationFailed(["Rerank task type requires a non-null query field"])
    refuse_input_type(request.input_type)
    if endpoint.task_type in STREAMING_TASKS and len(inputs) > 1:
        raise StatusError(400, "Hugging Face completions only accepts 1 input")
    return inputs


def refuse_streaming(endpoint: InferenceEndpoint, requested: TaskType) -> None:
    """Raises: StatusError 405 for a task that cannot be streamed."""
    if endpoint.task_type not in STREAMING_TASKS:
        supported = ",".join(STREAMING_TASKS)
        raise StatusError(
            405,
            f"Streaming is not allowed for service [{endpoint.service}] and task [{requested}]. "
            f"Supported tasks: [{supported}]",
        )
