"""Inference endpoints: task types, settings, how they are read, shown and stored.

Source: HuggingFaceService and its settings classes; profile A (8.19 to 9.4).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from proxy.errors import ActionRequestInvalid, IllegalArgument, StatusError
from proxy.inference.chunking import ChunkingSettings, parse_chunking, render_chunking
from proxy.inference.fields import Fields, Problems, refuse_unknown, wrong_type
from proxy.inference.releases import UpdateRules
from proxy.inference.urls import url_problem
from proxy.masking import shown_value
from proxy.xcontent.javatext import java_text
from proxy.xcontent.values import Json

SERVICE: Final = "hugging_face"
ELSER_SERVICE: Final = "hugging_face_elser"  # a second name that serves sparse_embedding only
DEFAULT_REQUESTS_PER_MINUTE: Final = 3000


class TaskType(StrEnum):
    """What an endpoint does; `ANY` stands for "no task type given" and is never stored."""

    TEXT_EMBEDDING = "text_embedding"
    SPARSE_EMBEDDING = "sparse_embedding"
    RERANK = "rerank"
    COMPLETION = "completion"
    CHAT_COMPLETION = "chat_completion"
    ANY = "any"


STREAMING_TASKS: Final = (TaskType.COMPLETION, TaskType.CHAT_COMPLETION)
SERVICES: Final = {
    SERVICE: tuple(task for task in TaskType if task is not TaskType.ANY),
    ELSER_SERVICE: (TaskType.SPARSE_EMBEDDING,),
}
SPARSE_MAX_INPUT_TOKENS: Final = 512
_SIMILARITIES: Final = ("cosine", "dot_product", "l2_norm")
_ID: Final = re.compile(r"[a-z0-9](?:[a-z0-9_\-.]*[a-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """Where the provider is and how it may be used; which fields apply depends on the task."""

    url: str
    model_id: str | None = None
    similarity: str | None = None
    dimensions: int | None = None
    max_input_tokens: int | None = None
    requests_per_minute: int = DEFAULT_REQUESTS_PER_MINUTE


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretSettings:
    api_key: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSettings:
    """Rerank only."""

    top_n: int | None = None
    return_documents: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceEndpoint:
    """One configured endpoint. The token is in it: never log it, never dump it whole."""

    inference_id: str
    task_type: TaskType
    service: str = SERVICE
    service_settings: ServiceSettings
    secret_settings: SecretSettings = field(repr=False)
    task_settings: TaskSettings = field(default_factory=TaskSettings)
    chunking_settings: ChunkingSettings | None = None

    @property
    def streams(self) -> bool:
        """Whether the task can be streamed."""
        return self.task_type in STREAMING_TASKS

    def with_service_settings(self, **changes: Any) -> InferenceEndpoint:
        """The endpoint with some service settings replaced."""
        return replace(self, service_settings=replace(self.service_settings, **changes))


# Reading


def check_inference_id(inference_id: str) -> None:
    """Raises: ActionRequestInvalid. Source: MlStrings.isValidId."""
    if not _ID.fullmatch(inference_id) or inference_id == "_all":
        raise ActionRequestInvalid(
            [
                f"Invalid inference_id; '{inference_id}' can contain lowercase alphanumeric "
                "(a-z and 0-9), hyphens or underscores; must start and end with alphanumeric"
            ]
        )


def parse_task_type(text: str) -> TaskType:
    """A task type in any letter case. Raises: StatusError 400."""
    try:
        return TaskType(text.strip().lower())
    except ValueError:
        shown = shown_value(text, "task_type")
        raise StatusError(400, f"Unknown task_type [{shown}]") from None


def resolve_task_type(in_path: TaskType, in_body: Any) -> TaskType:
    """The task type of a request that may name it in its path, its body, or both.

    Raises: StatusError 400, IllegalArgument. Source: ServiceUtils.resolveTaskType.
    """
    if in_body is not None and not isinstance(in_body, str):
        raise IllegalArgument(wrong_type("task_type", in_body, "String"))
    if in_path is TaskType.ANY:
        if in_body is None:
            raise StatusError(400, "model is missing required setting [task_type]")
        if (task_type := parse_task_type(in_body)) is TaskType.ANY:
            raise StatusError(400, "task_type [any] is not valid type for inference")
        return task_type
    if in_body is not None and parse_task_type(in_body) not in (in_path, TaskType.ANY):
        raise StatusError(
            400,
            f"Cannot resolve conflicting task_type parameter in the request URL [{in_path}] "
            f"and the request body [{in_body}]",
        )
    return in_path


def parse_endpoint(
    task_type: TaskType, inference_id: str, service: str, body: Mapping[str, Any]
) -> InferenceEndpoint:
    """Read the settings of a PUT; `body` without its `task_type` and `service`.

    Raises: ValidationFailed naming every bad setting of a step, in Elasticsearch's order of
    steps; StatusError for unknown settings; IllegalArgument for a bad chunking strategy.
    Source: HuggingFaceBaseService.parseRequestConfig.
    """
    problems = Problems()
    top = Fields(body, "", problems)
    settings = top.take_map("service_settings")
    if settings is None:
        raise StatusError(400, "Missing required field [service_settings]")
    task_fields = top.take_map("task_settings") or Fields({}, "task_settings", problems)
    chunking = None
    if task_type is TaskType.TEXT_EMBEDDING:
        map_ = top.take_map("chunking_settings")
        chunking = parse_chunking(map_.left_over if map_ else None)
    if task_type not in SERVICES[service]:
        raise StatusError(400, f"The [{service}] service does not support task type [{task_type}]")
    service_settings = _parse_service_settings(task_type, service, settings)
    task_settings = TaskSettings()
    if task_type is TaskType.RERANK:
        task_settings = parse_task_settings(task_fields)
    secret_settings = parse_secrets(settings)
    for fields in (top, settings, task_fields):
        refuse_unknown(fields.left_over, service)
    return InferenceEndpoint(
        inference_id=inference_id,
        task_type=task_type,
        service=service,
        service_settings=service_settings,
        secret_settings=secret_settings,
        task_settings=task_settings,
        chunking_settings=chunking,
    )


def _parse_service_settings(task_type: TaskType, service: str, fields: Fields) -> ServiceSettings:
    model_id = similarity = dimensions = max_input_tokens = None
    if task_type in STREAMING_TASKS:
        model_id = fields.take_str("model_id")
    url = fields.take_required_str("url")
    if url and (problem := url_problem(url)):
        shown = shown_value(url, "url")
        fields.problems.add(
            f"[service_settings] Invalid url [{shown}] received for field [url]. "
            f"Error: unable to parse url [{shown}]. Reason: {problem}"
        )
    if task_type is TaskType.TEXT_EMBEDDING:
        similarity = fields.take_enum("similarity", _SIMILARITIES)
        dimensions = fields.take_positive_int("dimensions")
        max_input_tokens = fields.take_positive_int("max_input_tokens")
    elif task_type is TaskType.SPARSE_EMBEDDING:
        max_input_tokens = SPARSE_MAX_INPUT_TOKENS
    requests_per_minute = _parse_rate_limit(fields, service)
    fields.problems.raise_if_any()
    return ServiceSettings(
        url=url,
        model_id=model_id,
        similarity=similarity,
        dimensions=dimensions,
        max_input_tokens=max_input_tokens,
        requests_per_minute=requests_per_minute or DEFAULT_REQUESTS_PER_MINUTE,
    )


def _parse_rate_limit(fields: Fields, service: str) -> int | None:
    rate_limit = fields.take_map("rate_limit")
    if rate_limit is None:
        return None
    requests_per_minute = rate_limit.take_positive_long("requests_per_minute")
    refuse_unknown(rate_limit.left_over, service)
    return requests_per_minute


def parse_task_settings(fields: Fields) -> TaskSettings:
    """Rerank's task settings. Raises: ValidationFailed."""
    return_documents = fields.take_bool("return_documents")
    top_n = fields.take_positive_int("top_n")
    fields.problems.raise_if_any()
    return TaskSettings(top_n=top_n, return_documents=return_documents)


def parse_secrets(fields: Fields) -> SecretSettings:
    """The token out of `service_settings`. Raises: ValidationFailed, which never quotes it."""
    api_key = fields.take("api_key")
    if isinstance(api_key, str) and not (api_key.isascii() and api_key.isprintable()):
        fields.problems.add("[service_settings] Invalid value. [api_key] must be printable ASCII")
    else:
        Fields({"api_key": api_key}, "service_settings", fields.problems).take_required_str(
            "api_key"
        )
    fields.problems.raise_if_any()
    return SecretSettings(api_key=str(api_key))


_UPDATABLE: Final = ("service_settings", "task_settings", "chunking_settings")


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointUpdate:
    """What a `_update` body asks for; None leaves a part as it is."""

    rules: UpdateRules
    task_type: TaskType | None
    service_settings: Json | None
    task_settings: Json | None
    chunking_settings: Json | None

    def apply(self, endpoint: InferenceEndpoint) -> InferenceEndpoint:
        """The endpoint changed. Raises: ValidationFailed, IllegalArgument, StatusError.

        Source: TransportUpdateInferenceModelAction; its newer versions for all but token and task
        settings, which are the only ones that older releases change.
        """
        problems = Problems()
        if self.service_settings:
            fields = Fields(self.service_settings, "service_settings", problems)
            endpoint = _with_updated_service(endpoint, fields, self.rules)
            self._refuse_left_over(fields, endpoint)
        if self.chunking_settings and endpoint.task_type is TaskType.TEXT_EMBEDDING:
            endpoint = replace(endpoint, chunking_settings=parse_chunking(self.chunking_settings))
        if self.task_settings and endpoint.task_type is TaskType.RERANK:
            fields = Fields(self.task_settings, "task_settings", problems)
            endpoint = _with_updated_task(endpoint, fields)
            self._refuse_left_over(fields, endpoint)
        return endpoint

    def _refuse_left_over(self, fields: Fields, endpoint: InferenceEndpoint) -> None:
        if self.rules.refuses_unknown:
            refuse_unknown(fields.left_over, endpoint.service)


def _with_updated_service(
    endpoint: InferenceEndpoint, fields: Fields, rules: UpdateRules
) -> InferenceEndpoint:
    if rules.needs_api_key or fields.left_over.get("api_key") is not None:
        endpoint = replace(endpoint, secret_settings=parse_secrets(fields))
    fields.take("api_key")
    changes: Json = {}
    if "rate_limit" in fields.left_over:
        limit = _parse_rate_limit(fields, endpoint.service)
        changes["requests_per_minute"] = limit or DEFAULT_REQUESTS_PER_MINUTE
    if endpoint.task_type is TaskType.TEXT_EMBEDDING and "max_input_tokens" in fields.left_over:
        changes["max_input_tokens"] = fields.take_positive_int("max_input_tokens")
    fields.problems.raise_if_any()
    return endpoint.with_service_settings(**changes)


def _with_updated_task(endpoint: InferenceEndpoint, fields: Fields) -> InferenceEndpoint:
    new, old = parse_task_settings(fields), endpoint.task_settings
    merged = TaskSettings(
        top_n=old.top_n if new.top_n is None else new.top_n,
        return_documents=old.return_documents
        if new.return_documents is None
        else new.return_documents,
    )
    return replace(endpoint, task_settings=merged)


def parse_update(body: Mapping[str, Any], rules: UpdateRules) -> EndpointUpdate:
    """Read the body of PUT _inference/{task_type}/{inference_id}/_update.

    Raises: StatusError 400, which quotes what has not been read yet.
    Source: UpdateInferenceModelAction.Request.
    """
    if not body:
        raise StatusError(400, "Request body is empty")
    left = dict(body)
    task_type = None
    if "task_type" in left:
        if not isinstance(left["task_type"], str):
            raise _bad_update("[task_type] in update request", left)
        task_type = parse_task_type(left.pop("task_type"))
    parts: dict[str, Json | None] = {}
    for name in _UPDATABLE:
        value = left.get(name)
        if name in left and not isinstance(value, dict):
            what = rules.not_an_object.format(kind=name.removesuffix("_settings"))
            raise StatusError(400, f"Unable to parse {what} in the request [{java_text(left)}]")
        if not rules.takes_nulls and None in (value or {}).values():
            raise _bad_update("update request", left)
        parts[name] = left.pop(name, None)
    if left:
        raise StatusError(
            400,
            "Request contained fields which cannot be updated, remove these fields and try again "
            f"[{java_text(left)}]",
        )
    return EndpointUpdate(rules=rules, task_type=task_type, **parts)


def _bad_update(what: str, left: Json) -> StatusError:
    # Elasticsearch answers 500 here; a caller's mistake is never a 500 of ours.
    return StatusError(400, f"Failed to parse {what} [{java_text(left)}]")


# Showing and storing


def render_endpoint(endpoint: InferenceEndpoint) -> Json:
    """What callers see, keys in Elasticsearch's order; the token is never among them.

    Source: ModelConfigurations.toFilteredXContent.
    """
    settings = endpoint.service_settings
    shown: Json = {
        "model_id": settings.model_id,
        "url": settings.url,
        "similarity": settings.similarity,
        "dimensions": settings.dimensions,
        "max_input_tokens": settings.max_input_tokens,
        "rate_limit": {"requests_per_minute": settings.requests_per_minute},
    }
    body: Json = {
        "inference_id": endpoint.inference_id,
        "task_type": endpoint.task_type,
        "service": endpoint.service,
        "service_settings": _present(shown),
    }
    if task_settings := _present(asdict(endpoint.task_settings)):
        body["task_settings"] = task_settings
    if endpoint.chunking_settings is not None:
        body["chunking_settings"] = render_chunking(endpoint.chunking_settings)
    return body


def _present(values: Json) -> Json:
    return {key: value for key, value in values.items() if value is not None}


def dump_endpoint(endpoint: InferenceEndpoint) -> dict[str, Any]:
    """The stored form, token included: only ever written sealed."""
    return asdict(endpoint)


def load_endpoint(document: dict[str, Any]) -> InferenceEndpoint:
    """Read back what `dump_endpoint` wrote.

    Raises: KeyError, TypeError or ValueError when the document is something else.
    """
    chunking = document["chunking_settings"]
    if chunking is not None and chunking["separators"] is not None:
        chunking = {**chunking, "separators": tuple(chunking["separators"])}
    return InferenceEndpoint(
        inference_id=document["inference_id"],
        task_type=TaskType(document["task_type"]),
        service=document["service"],
        service_settings=ServiceSettings(**document["service_settings"]),
        secret_settings=SecretSettings(**document["secret_settings"]),
        task_settings=TaskSettings(**document["task_settings"]),
        chunking_settings=None if chunking is None else ChunkingSettings(**chunking),
    )


# Elasticsearch's limit of 512 bytes for a document id, less its own prefix `model_`.
MAX_ID_BYTES: Final = 506


def is_storable(inference_id: str) -> bool:
    """Whether an endpoint of that id can exist at all."""
    try:
        check_inference_id(inference_id)
    except ActionRequestInvalid:
        return False
    return len(inference_id) <= MAX_ID_BYTES  # such an id is ASCII


def check_storable(endpoint: InferenceEndpoint) -> None:
    """Raises: StatusError 500 for an id that is too long, as Elasticsearch does."""
    if not is_storable(endpoint.inference_id):
        raise StatusError(500, f"Failed to store inference endpoint [{endpoint.inference_id}]")


def shown(ids: Collection[str], most: int = 10) -> str:
    """Ids for a text or a header; what is no id was written by somebody else, and is counted."""
    named = [one for one in ids if is_storable(one)][:most]
    more = len(ids) - len(named)
    return f"[{', '.join([*named, *([f'{more} more'] if more else [])])}]"
