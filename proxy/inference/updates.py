"""Reading the body of an `_update`, and applying it to an endpoint.

Source: UpdateInferenceModelAction.Request, TransportUpdateInferenceModelAction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from proxy.ground.errors import StatusError
from proxy.ground.masking import shown_name
from proxy.inference.chunking import parse_chunking
from proxy.inference.endpoints import InferenceEndpoint, TaskType
from proxy.inference.fields import Fields, Problems, refuse_unknown
from proxy.inference.releases import UpdateRules
from proxy.inference.rendering import render_endpoint
from proxy.inference.settings import parse_rate_limit, parse_secrets, parse_task_settings
from proxy.inference.tasktypes import parse_task_type
from proxy.xcontent.javatext import java_text
from proxy.xcontent.values import Json

_SETTINGS: Final = ("service_settings", "task_settings")
_CHUNKING: Final = "chunking_settings"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointUpdate:
    """What the body of an `_update` asks for; None leaves a part as it is."""

    rules: UpdateRules
    task_type: TaskType | None
    service_settings: Json | None
    task_settings: Json | None
    chunking_settings: Json | None = None

    def apply(self, endpoint: InferenceEndpoint) -> InferenceEndpoint:
        """The endpoint changed. Raises: ValidationFailed, IllegalArgument, StatusError.

        Older releases of TransportUpdateInferenceModelAction change only the token and the task
        settings; the rest follows newer ones.
        """
        return self._applied(endpoint)[0]

    def without_effect(self, changed: InferenceEndpoint) -> list[str]:
        """The settings that were ignored and that the changed endpoint has other values for.

        For instance `service_settings.url`.
        """
        shown = render_endpoint(changed)
        names = []
        for kind, settings in self._applied(changed)[1].items():
            present = shown.get(kind, {})
            names += [
                f"{kind}.{shown_name(name)}"
                for name, value in settings.items()
                if value != present.get(name)
            ]
        return names

    def _applied(self, endpoint: InferenceEndpoint) -> tuple[InferenceEndpoint, dict[str, Json]]:
        """The endpoint changed, and the settings that were ignored, by their kind."""
        problems = Problems()
        ignored: dict[str, Json] = {}
        if self.service_settings:
            fields = Fields(self.service_settings, "service_settings", problems)
            endpoint = _with_updated_service(endpoint, fields, self.rules)
            ignored["service_settings"] = self._left_over(fields, endpoint)
        if self.chunking_settings:
            if endpoint.task_type is TaskType.TEXT_EMBEDDING:
                chunking = parse_chunking(self.chunking_settings)
                endpoint = replace(endpoint, chunking_settings=chunking)
            else:
                ignored[_CHUNKING] = self.chunking_settings
        if self.task_settings:
            fields = Fields(self.task_settings, "task_settings", problems)
            if endpoint.task_type is TaskType.RERANK:
                merged = endpoint.task_settings.merged(parse_task_settings(fields))
                endpoint = replace(endpoint, task_settings=merged)
                ignored["task_settings"] = self._left_over(fields, endpoint)
            else:
                ignored["task_settings"] = self.task_settings
        return endpoint, ignored

    def _left_over(self, fields: Fields, endpoint: InferenceEndpoint) -> Json:
        """What has not been taken. Raises: StatusError where the release refuses it."""
        if self.rules.refuses_unknown:
            refuse_unknown(fields.left_over, endpoint.service)
        return fields.left_over


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
    for name in (*_SETTINGS, _CHUNKING) if rules.takes_chunking else _SETTINGS:
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
