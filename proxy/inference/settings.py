"""Reading the settings of a new endpoint.

Source: HuggingFaceBaseService.parseRequestConfig, ServiceUtils; 8.19 to 9.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from proxy.ground.errors import StatusError
from proxy.ground.masking import shown_value
from proxy.inference.chunking import parse_chunking
from proxy.inference.endpoints import (
    DEFAULT_REQUESTS_PER_MINUTE,
    SERVICES,
    STREAMING_TASKS,
    InferenceEndpoint,
    SecretSettings,
    ServiceSettings,
    TaskSettings,
    TaskType,
)
from proxy.inference.fields import Fields, Problems, refuse_unknown
from proxy.inference.urls import url_problem

SPARSE_MAX_INPUT_TOKENS: Final = 512
_SIMILARITIES: Final = ("cosine", "dot_product", "l2_norm")


def parse_endpoint(
    task_type: TaskType, inference_id: str, service: str, body: Mapping[str, Any]
) -> InferenceEndpoint:
    """Read the body of a PUT; `task_type` and `service` are already taken out of it.

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
        given = top.take_map("chunking_settings")
        chunking = parse_chunking(given.left_over if given else None)
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
    requests_per_minute = parse_rate_limit(fields, service)
    fields.problems.raise_if_any()
    return ServiceSettings(
        url=url,
        model_id=model_id,
        similarity=similarity,
        dimensions=dimensions,
        max_input_tokens=max_input_tokens,
        requests_per_minute=requests_per_minute,
    )


def parse_rate_limit(fields: Fields, service: str) -> int:
    """Requests per minute, taken from service settings.

    Raises: StatusError when `rate_limit` has other settings.
    """
    rate_limit = fields.take_map("rate_limit")
    if rate_limit is None:
        return DEFAULT_REQUESTS_PER_MINUTE
    requests_per_minute = rate_limit.take_positive_long("requests_per_minute")
    refuse_unknown(rate_limit.left_over, service)
    return requests_per_minute or DEFAULT_REQUESTS_PER_MINUTE


def parse_task_settings(fields: Fields) -> TaskSettings:
    """The task settings of a rerank endpoint. Raises: ValidationFailed."""
    return_documents = fields.take_bool("return_documents")
    top_n = fields.take_positive_int("top_n")
    fields.problems.raise_if_any()
    return TaskSettings(top_n=top_n, return_documents=return_documents)


def parse_secrets(fields: Fields) -> SecretSettings:
    """The token, taken from service settings. Raises: ValidationFailed, which never quotes it."""
    api_key = fields.take_required_str("api_key")
    if not (api_key.isascii() and api_key.isprintable()):
        fields.problems.add("[service_settings] Invalid value. [api_key] must be printable ASCII")
    fields.problems.raise_if_any()
    return SecretSettings(api_key=api_key)
