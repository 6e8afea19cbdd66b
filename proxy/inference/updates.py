"""Reading the body of an `_update`, and applying it to an endpoint.

Source: UpdateInferenceModelAction.Request, TransportUpdateInferenceModelAction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from proxy.errors import StatusError
from proxy.inference.chunking import parse_chunking
from proxy.inference.endpoints import InferenceEndpoint, TaskType
from proxy.inference.fields import Fields, Problems, refuse_unknown
from proxy.inference.releases import UpdateRules
from proxy.inference.settings import parse_rate_limit, parse_secrets, parse_task_settings
from proxy.inference.tasktypes import parse_task_type
from proxy.xcontent.javatext import java_text
from proxy.xcontent.values import Json

_UPDATABLE: Final = ("service_settings", "task_settings", "chunking_settings")


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointUpdate:
    """What the body of an `_update` asks for; None leaves a part as it is."""

    rules: UpdateRules
    task_type: TaskType | None
    service_settings: Json | None
    task_settings: Json | None
    chunking_settings: Json | None

    def apply(self, endpoint: InferenceEndpoint) -> InferenceEndpoint:
        """The endpoint changed. Raises: ValidationFailed, IllegalArgument, StatusError.

        Older releases of TransportUpdateInferenceModelAction change only the token and the task
        settings; the rest follows newer ones.
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
            merged = endpoint.task_settings.merged(parse_task_settings(fields))
            endpoint = replace(endpoint, task_settings=merged)
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
        changes["requests_per_minute"] = parse_rate_limit(fields, endpoint.service)
    if endpoint.task_type is TaskType.TEXT_EMBEDDING and "max_input_tokens" in fields.left_over:
        changes["max_input_tokens"] = fields.take_positive_int("max_input_tokens")
    fields.problems.raise_if_any()
    return endpoint.with_service_settings(**changes)


def parse_update(body: Mapping[str, Any], rules: UpdateRules) -> EndpointUpdate:
    """Read the body of PUT _inference/{task_type}/{inference_id}/_update.

    Raises: StatusError 400, which quotes what has not been read yet, as Elasticsearch does.
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
    # Elasticsearch answers 500 here; a caller's mistake is a 400 of ours.
    return StatusError(400, f"Failed to parse {what} [{java_text(left)}]")
