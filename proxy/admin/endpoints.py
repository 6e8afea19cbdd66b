"""What `/endpoints` shows: the state of each inference endpoint that this process has called."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from proxy.ground.advice import rendered
from proxy.telemetry.endpoints import FIGURES, Endpoint, Endpoints, LastError, Usage


class EndpointStates:
    """Answers `/endpoints`. Ids, no URLs: a query can hold a secret."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints

    async def show(self, _: web.Request) -> web.Response:
        """All endpoints by id, and what those that are not known any more have used."""
        known = [self._endpoint(endpoint) for endpoint in self._endpoints.known()]
        others = {task: self._usage(used) for task, used in self._endpoints.others().items()}
        return web.json_response({"endpoints": known, "others": others})

    def _endpoint(self, endpoint: Endpoint) -> dict[str, Any]:
        return {
            "inference_id": endpoint.inference_id,
            "task_type": endpoint.task,
            "state": endpoint.state,
            "since": _time(endpoint.since),
            "last_call": _time(endpoint.last_call),
            "last_error": _error(endpoint.last_error),
            "usage": self._usage(endpoint.usage),
            **({"has_other_model": True} if endpoint.has_other_model else {}),
        }

    def _usage(self, usage: Usage) -> dict[str, Any]:
        figures = {name: getattr(usage, name) for name in FIGURES}
        if not self._endpoints.has_prices:
            del figures["cost"]
        shown = {name: _shortened(figure) for name, figure in figures.items()}
        return {**shown, "outcomes": dict(usage.outcomes)}


def _shortened(figure: float) -> float:
    return round(figure, 6) if isinstance(figure, float) else figure


def _error(error: LastError | None) -> dict[str, Any] | None:
    if error is None:
        return None
    return {"state": error.advice.state, "at": _time(error.at), **rendered(error.advice)}


def _time(seconds: float) -> str | None:
    """As in the log; None for never."""
    if not seconds:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
