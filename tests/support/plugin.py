"""An upstream that has the inference plugin, with endpoints of another service, in memory.

The distribution for tests lacks the plugin; this stub follows its contract.
"""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web

SERVICE: Final = "elsewhere"
HEADERS: Final = {"X-elastic-product": "Elasticsearch"}
TASKS: Final = ("text_embedding", "sparse_embedding", "rerank", "completion", "chat_completion")


class PluginUpstream:
    """Answers `_inference` for its own service, and records the requests that it gets."""

    def __init__(self) -> None:
        self.endpoints: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[str, str]] = []

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_route("*", r"/{target:[\s\S]*}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.Response:
        self.requests.append((request.method, request.raw_path))
        segments = request.path.strip("/").split("/")
        if segments[0] != "_inference":
            uri = f"uri [{request.raw_path}] and method [{request.method}]"
            return _json({"error": f"no handler found for {uri}"}, 400)
        *rest, last = segments[1:] or ["_all"]
        task = rest[0] if rest and rest[0] in TASKS else None
        if last == "_services" or "_services" in rest:
            return _json([{"service": SERVICE, "name": "Elsewhere", "task_types": ["completion"]}])
        if request.method == "GET" and last == "_all":
            found = [one for one in self.endpoints.values() if task in (None, one["task_type"])]
            return _json({"endpoints": sorted(found, key=lambda one: str(one["inference_id"]))})
        if request.method == "PUT":
            return self._put(last, task, await request.json())
        return self._use(request.method, last)

    def _put(self, inference_id: str, task: str | None, body: dict[str, Any]) -> web.Response:
        if body.get("service") != SERVICE:
            return _error(400, "status_exception", f"Unknown service [{body.get('service')}]")
        if inference_id in self.endpoints:
            reason = f"Inference endpoint [{inference_id}] already exists"
            return _error(400, "resource_already_exists_exception", reason)
        self.endpoints[inference_id] = {
            "inference_id": inference_id,
            "task_type": task or body["task_type"],
            "service": SERVICE,
            "service_settings": body.get("service_settings", {}),
        }
        return _json(self.endpoints[inference_id])

    def _use(self, method: str, inference_id: str) -> web.Response:
        if inference_id not in self.endpoints:
            reason = f"Inference endpoint not found [{inference_id}]"
            return _error(404, "resource_not_found_exception", reason)
        if method == "GET":
            return _json({"endpoints": [self.endpoints[inference_id]]})
        if method == "DELETE":
            del self.endpoints[inference_id]
            return _json({"acknowledged": True, "pipelines": [], "indexes": []})
        return _json({"completion": [{"result": "from the upstream"}]})


def _json(body: Any, status: int = 200) -> web.Response:
    return web.json_response(body, status=status, headers=HEADERS)


def _error(status: int, kind: str, reason: str) -> web.Response:
    error = {"type": kind, "reason": reason}
    return _json({"error": {"root_cause": [error], **error}, "status": status}, status)
