"""What can be done with endpoints; knows nothing of HTTP between caller and proxy.

Source: TransportPutInferenceModelAction, TransportInferenceAction and their siblings.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from proxy.ground.authorization import confirm
from proxy.ground.errors import (
    EndpointAlreadyExists,
    EndpointNotFound,
    EndpointNotUpdated,
    RecordRefused,
    StatusError,
    ValidationFailed,
)
from proxy.inference.chat import ChatRequest
from proxy.inference.dumping import check_storable
from proxy.inference.endpoints import STREAMING_TASKS, InferenceEndpoint, TaskSettings, TaskType
from proxy.inference.inputtypes import PrefixesOf, no_prefixes, prefix_for, with_prefix
from proxy.inference.ports import (
    Dependents,
    EndpointStore,
    Known,
    Listing,
    NoDependents,
    Provider,
    Uses,
)
from proxy.inference.releases import Profile
from proxy.inference.requests import InferenceRequest, refuse_input_type
from proxy.inference.results import (
    RankedDocument,
    render_completion,
    render_completion_deltas,
    render_embeddings,
    render_rerank,
    render_sparse,
)
from proxy.inference.streaming import Stream
from proxy.inference.trial import is_starting, try_out
from proxy.inference.updates import EndpointUpdate
from proxy.inference.within import Within
from proxy.limits.deadline import Deadline
from proxy.xcontent.values import Json

_OTHER_TASK: Final = (
    "Requested task type [{requested}] does not match the inference endpoint's task type [{actual}]"
)
_INCOMPATIBLE: Final = (
    "Incompatible task_type, the requested type [{requested}] does not match the model type "
    "[{actual}]"
)

_MISFITTING: Final = (
    "Inference endpoint [{id}] could not be created because the inference_id is being used in "
    "mappings with incompatible settings for indices: [{names}]. Please either use a different "
    "inference_id or update the index mappings to refer to a different inference_id."
)

# Source: TransportDeleteInferenceEndpointAction.
_USED: Final = (
    "Inference endpoint {id} is {how}: [{names}]. Ensure that no {what} are using this inference "
    "endpoint, or use force to ignore this warning and delete the inference endpoint."
)

_NONE: Final = NoDependents()


@dataclass(frozen=True, slots=True)
class Deletion:
    """The answer to a deletion; `stale` if its checks were of a stale endpoint."""

    result: Json
    stale: bool
    task_type: TaskType | None  # None for a record that could not be read


@dataclass(frozen=True, slots=True)
class Created:
    """A new endpoint; not `tried` if its provider was still starting."""

    endpoint: InferenceEndpoint
    tried: bool


class InferenceService:
    """The use cases of the `_inference` API; times are in seconds.

    Whatever a method's docstring names, it also raises EndpointNotFound and StoreError, and if it
    calls a provider, the ProxyErrors for that provider's failures.
    """

    def __init__(
        self,
        store: EndpointStore,
        provider: Provider,
        default_timeout: float,
        profile: Profile,
        *,
        trial_provider: Provider | None = None,
        takes_starting: bool = False,
        prefixes_of: PrefixesOf = no_prefixes,
        created: Callable[[InferenceEndpoint], None] = lambda endpoint: None,
    ) -> None:
        """`trial_provider` is called in place of the other one to try endpoints out.

        `created` is told of new endpoints that have been tried out.
        """
        self._store = store
        self._provider = provider
        self._default_timeout = default_timeout
        self._profile = profile
        self._takes_starting = takes_starting  # endpoints whose provider is not up yet
        self._prefixes_of = prefixes_of
        self._created = created
        self._trials = self  # what endpoints are tried out with
        if trial_provider is not None:
            self._trials = InferenceService(store, trial_provider, default_timeout, profile)

    # Endpoints

    async def put(
        self,
        endpoint: InferenceEndpoint,
        timeout: float | None,
        is_taken: Callable[[], Awaitable[bool]],
        dependents: Dependents = _NONE,
    ) -> Created:
        """Try out a new endpoint and store it as the trial completed it.

        `is_taken` says whether the upstream has an endpoint with this id.
        Raises: StatusError 400 when the trial fails, or indices hold what an endpoint of this id
        made with another model; MemoryShort; EndpointAlreadyExists; as `check_storable`.
        """
        check_storable(endpoint)
        tried = True
        try:
            endpoint = await try_out(self._trials, endpoint, timeout)
        except StatusError as error:
            if not (self._takes_starting and is_starting(error)):
                raise
            tried = False
        if misfits := await dependents.misfits_of(endpoint):
            text = _MISFITTING.format(id=endpoint.inference_id, names=", ".join(misfits))
            raise StatusError(400, text)
        if await is_taken():
            raise EndpointAlreadyExists(endpoint.inference_id)
        await confirm()  # the trial may have taken long
        await self._store.create(endpoint)
        if tried:
            self._created(endpoint)
        return Created(endpoint, tried)

    async def exists(self, inference_id: str) -> bool:
        """Whether the store has an endpoint with this id, usable or not."""
        try:
            await self._store.get(inference_id)
        except EndpointNotFound:
            return False
        except RecordRefused:
            pass
        return True

    def get(self, inference_id: str, task_type: TaskType) -> Awaitable[Known]:
        """The endpoint. Raises: StatusError 400 when `task_type` is not its own."""
        return self._get(inference_id, task_type, _OTHER_TASK)

    async def _get(self, inference_id: str, task_type: TaskType, mismatch: str) -> Known:
        known = await self._store.get(inference_id)
        actual = known.endpoint.task_type
        if task_type is not actual and task_type is not TaskType.ANY:
            raise StatusError(400, mismatch.format(requested=task_type, actual=actual))
        return known

    async def find(self, task_type: TaskType) -> Listing:
        """All endpoints, or those of one task type."""
        return await self._store.find(None if task_type is TaskType.ANY else task_type)

    async def update(
        self,
        inference_id: str,
        task_type: TaskType,
        update: EndpointUpdate,
        timeout: float | None,
    ) -> Known:
        """Change the token or other settings; the changed endpoint.

        It is stale if a stale one was tried out with the change.
        Raises: StatusError; ValidationFailed; EndpointNotUpdated where there is no endpoint.
        """

        def change(endpoint: InferenceEndpoint) -> InferenceEndpoint:
            if endpoint.task_type is not task_type:
                reason = "Task type must match the task type of the existing endpoint"
                raise StatusError(400, reason)
            return update.apply(endpoint)

        try:
            if not update.rules.tries_changes:
                return Known(await self._store.update(inference_id, change))
            old = await self._store.get(inference_id)
            if (new := change(old.endpoint)) == old.endpoint:
                return old
            check_storable(new)
            found = (await try_out(self._trials, new, timeout)).service_settings
            await confirm()
            changed = await self._store.update(
                inference_id,
                lambda endpoint: change(endpoint).with_service_settings(
                    dimensions=found.dimensions, similarity=found.similarity
                ),
            )
            return Known(changed, old.stale)
        except EndpointNotFound:
            raise EndpointNotUpdated(inference_id) from None

    async def delete(
        self,
        inference_id: str,
        task_type: TaskType,
        *,
        dry_run: bool,
        force: bool = False,
        dependents: Dependents = _NONE,
    ) -> Deletion:
        """Remove the endpoint; a dry run only makes the checks.

        Raises: StatusError 409 for an endpoint in use, unless it is to be removed by force.
        """
        stale, actual = False, None
        try:
            known = await self.get(inference_id, task_type)
            stale, actual = known.stale, known.endpoint.task_type
        except RecordRefused:
            pass  # a record that cannot be read can still be removed
        uses = Uses() if force and not dry_run else await dependents.uses_of(inference_id)
        problem = _in_use(inference_id, uses)
        if dry_run:
            result = _deleted(uses, acknowledged=False)
            return Deletion({**result, "error_message": problem}, stale, actual)
        if problem:
            raise StatusError(409, problem)
        await confirm()
        await self._store.delete(inference_id)
        self._provider.forget(inference_id)
        return Deletion(_deleted(uses, acknowledged=True), stale, actual)

    # Inference

    def endpoint_for(self, inference_id: str, task_type: TaskType) -> Awaitable[Known]:
        """The endpoint to call for a request with this task type; as `get`, in other words."""
        return self._get(inference_id, task_type, _INCOMPATIBLE)

    async def infer(
        self, endpoint: InferenceEndpoint, request: InferenceRequest, timeout: float | None
    ) -> Json:
        """The result in Elasticsearch's shape. Raises: ValidationFailed, RequestTimedOut."""
        inputs = self._checked_inputs(endpoint, request)
        task_type = endpoint.task_type
        is_dense = task_type is TaskType.TEXT_EMBEDDING
        if is_dense and (vectors := self._provider.at_hand(endpoint, inputs)) is not None:
            return render_embeddings(vectors)
        with self._deadline(endpoint, timeout) as deadline:
            match task_type:
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

    async def stream(
        self, endpoint: InferenceEndpoint, request: InferenceRequest, timeout: float | None
    ) -> Stream[Json]:
        """The events of a completion, once the provider begins to answer."""
        text = self._checked_inputs(endpoint, request)[0]
        with self._deadline(endpoint, timeout) as deadline:
            deltas = await self._provider.stream_completion(endpoint, text, deadline)
        return deltas.map(render_completion_deltas)

    async def chat(
        self, endpoint: InferenceEndpoint, request: ChatRequest, timeout: float | None
    ) -> Stream[Json]:
        """The chunks of a chat, once the provider begins to answer."""
        with self._deadline(endpoint, timeout) as deadline:
            return await self._provider.stream_chat(endpoint, request, deadline)

    async def begin_chat(
        self, endpoint: InferenceEndpoint, request: ChatRequest, timeout: float | None
    ) -> None:
        """Chat until the first chunk has come: only that shows that a provider streams."""
        with (
            self._deadline(endpoint, timeout) as deadline,
            await self._provider.stream_chat(endpoint, request, deadline) as chunks,
        ):
            await anext(chunks, None)

    async def unstreamed_chat(
        self, endpoint: InferenceEndpoint, request: ChatRequest, timeout: float | None
    ) -> Json:
        """The answer of a chat in one piece."""
        with self._deadline(endpoint, timeout) as deadline:
            return await self._provider.chat(endpoint, request, deadline)

    async def _rerank(
        self,
        endpoint: InferenceEndpoint,
        request: InferenceRequest,
        inputs: Sequence[str],
        deadline: Deadline,
    ) -> list[RankedDocument]:
        """Settings that the request names replace those of the endpoint."""
        named = TaskSettings(top_n=request.top_n, return_documents=request.return_documents)
        settings = endpoint.task_settings.merged(named)
        return await self._provider.rerank(
            endpoint,
            request.query or "",
            inputs,
            deadline,
            top_n=settings.top_n,
            return_documents=settings.return_documents,
        )

    def _checked_inputs(
        self, endpoint: InferenceEndpoint, request: InferenceRequest
    ) -> Sequence[str]:
        """The inputs. Raises: ValidationFailed or StatusError 400 if the task cannot take them."""
        inputs = request.input or []
        if endpoint.task_type is TaskType.RERANK and request.query is None:
            raise ValidationFailed(["Rerank task type requires a non-null query field"])
        prefix = None
        if request.input_type is not None:
            prefix = prefix_for(self._prefixes_of, endpoint, request.input_type)
            if prefix is None:
                refuse_input_type(request.input_type)
        if endpoint.task_type in STREAMING_TASKS and len(inputs) > 1:
            raise StatusError(400, "Hugging Face completions only accepts 1 input")
        return with_prefix(prefix, inputs) if prefix else inputs

    def _deadline(self, endpoint: InferenceEndpoint, timeout: float | None) -> Within:
        """Bounds what is done within to `timeout` seconds, or to the default."""
        seconds = timeout
        if seconds is None:
            seconds = self._profile.default_timeout(
                streams=endpoint.streams, configured=self._default_timeout
            )
        return Within(seconds, partial(self._profile.timed_out, endpoint.inference_id))


def _deleted(uses: Uses, *, acknowledged: bool) -> Json:
    return {
        "acknowledged": acknowledged,
        "pipelines": list(uses.pipelines),
        "indexes": list(uses.indexes),
    }


def _in_use(inference_id: str, uses: Uses) -> str:
    """What Elasticsearch says of an endpoint in use; empty where nothing uses it."""
    text = ""
    if uses.pipelines:
        text += _USED.format(
            id=inference_id,
            how="referenced by pipelines",
            names=", ".join(uses.pipelines),
            what="pipelines",
        )
    if uses.indexes:
        text += " " + _USED.format(
            id=inference_id,
            how="being used in the mapping for indexes",
            names=", ".join(uses.indexes),
            what="index mappings",
        )
    return text


def refuse_streaming(endpoint: InferenceEndpoint, requested: TaskType) -> None:
    """Raises: StatusError 405 for a task that cannot be streamed."""
    if endpoint.task_type not in STREAMING_TASKS:
        supported = ",".join(STREAMING_TASKS)
        raise StatusError(
            405,
            f"Streaming is not allowed for service [{endpoint.service}] and task [{requested}]. "
            f"Supported tasks: [{supported}]",
        )
