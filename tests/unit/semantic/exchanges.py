"""Requests to the semantic layer before an upstream that answers as the test says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import orjson
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.ground.errors import ProxyError
from proxy.inference.endpoints import InferenceEndpoint, SecretSettings, ServiceSettings, TaskType
from proxy.rest.body import Body
from proxy.rest.request import parse_request
from proxy.rest.responder import responder_for
from proxy.semantic.abilities import Abilities
from proxy.semantic.discovery import Declared
from proxy.semantic.exchange import Exchange, Parts
from proxy.semantic.registry import Snapshot, Target
from proxy.semantic.routes import PATHS, ROUTES
from proxy.semantic.targets import WriteTarget
from proxy.semantic.tasks import Tasks
from proxy.semantic.upstreamrelease import UpstreamRelease
from proxy.telemetry.endpoints import Endpoints as Figures
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.semantic import SemanticMetrics
from proxy.xcontent.document import Bounds
from proxy.xcontent.numbers import Numbers
from tests.support.memorynotes import MemoryNotes


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that the upstream got."""

    method: str
    target: str
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


@dataclass(frozen=True, slots=True)
class Answer:
    document: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        return self.document if isinstance(self.document, bytes) else orjson.dumps(self.document)


class Upstream:
    """Answers questions in turn, the last answer again and again."""

    def __init__(self, answers: Sequence[Any]) -> None:
        self.asked: list[Asked] = []
        self.handed: list[Asked] = []  # requests that were passed on, with the answer `{}`
        self.changes: list[Any] = []  # what is done to those answers, None for nothing
        self._answers = [one if isinstance(one, Answer) else Answer(one) for one in answers]

    async def ask_as_caller(self, request, method, target, body=b""):
        body = b"".join(body) if isinstance(body, list) else body
        self.asked.append(Asked(method, target, body))
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    async def ask_unless_large(self, request, method, target, body, too_large):
        return await self.ask_as_caller(request, method, target, body)

    async def hand_on_unless(self, request, body, telling, too_large=None):
        answer = await self.ask_as_caller(request, "", "", body)
        told = telling(answer.body, None)
        return web.Response(body=answer.body, status=answer.status) if told is None else answer

    async def hand_on_pieces(self, request, pieces, is_whole):
        body = b"".join([piece async for piece in pieces])
        answer = await self.ask_as_caller(request, "", "", body)
        return web.Response(body=answer.body, status=answer.status) if is_whole() else answer

    async def ask_as_proxy(self, method, target, body=b""):
        return Answer({})

    async def version(self):
        return "9.2.4"

    async def hand_on(self, request, body=None, answered=None, change=None):
        return await self.hand_on_as(request, "", body, change, answered)

    async def hand_on_as(self, request, target, body, change=None, answered=None):
        self.handed.append(Asked("", target, body or b""))
        self.changes.append(change)
        if answered is not None:
            await answered()
        return web.Response(body=b"{}")


class Endpoints:
    """One endpoint, which embeds every text as [1, 0, 0]."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    async def find(self, inference_id):
        settings = ServiceSettings(url="http://provider", dimensions=3)
        return InferenceEndpoint(
            inference_id=inference_id,
            task_type=TaskType.TEXT_EMBEDDING,
            service_settings=settings,
            secret_settings=SecretSettings(api_key="hf_secret"),
        )

    async def completed(self, endpoint):
        return endpoint

    async def embed(self, endpoint, texts, deadline, input_type):
        self.calls.append(list(texts))
        return [Numbers.of([1.0, 0.0, 0.0]) for _ in texts]

    async def infer(self, endpoint, texts, deadline, input_type=None):
        raise AssertionError("nothing is ingested here")

    async def rerank(self, endpoint, query, documents, deadline):
        raise AssertionError("nothing is reranked here")


class Registry:
    def __init__(self, target: Target) -> None:
        self.target = target
        self.looked_up: list[str] = []
        self.snapshot = Snapshot(state=None, declared=Declared(indices=frozenset(), templates=True))
        self.stored_pipelines = SimpleNamespace(is_readable=True)
        self.native = False

    def writes_to(self, index: str) -> None:
        """Have the documents for an index go there, to the fields of the target."""
        fields = self.target.fields.get(index, {})
        self.snapshot.written.keep(index, WriteTarget(index=index, fields=fields))

    async def look_up(self, expression):
        self.looked_up.append(expression)
        return self.target

    async def pipelines(self):
        return self.snapshot.pipelines

    async def is_native(self):
        return self.native

    async def changed(self):
        pass

    async def look(self):
        pass


class Guard:
    """Lets everybody search everything, or raises what it has been given."""

    def __init__(self) -> None:
        self.denial: ProxyError | None = None  # of searches and endpoints
        self.refused: ProxyError | None = None  # of writing

    async def searchable(self, request, target):
        if self.denial is not None:
            raise self.denial
        return target

    async def refusal(self, request, action, target, *, is_single):
        return self.refused

    async def check_inference(self, request):
        if self.denial is not None:
            raise self.denial


@dataclass(slots=True)
class World:
    """A layer whose indices are `target`, before an upstream with these answers."""

    upstream: Upstream
    registry: Registry
    endpoints: Endpoints = field(default_factory=Endpoints)
    guard: Guard = field(default_factory=Guard)
    tasks: Tasks = field(default_factory=lambda: Tasks(MemoryNotes()))

    async def request(self, method: str, target: str, body: Any = b"") -> Any:
        """The document of the layer's answer."""
        answer = await self.answer(method, target, body)
        return orjson.loads(answer.body)  # type: ignore[attr-defined]

    async def answer(self, method: str, target: str, body: Any = b"") -> web.StreamResponse:
        """The layer's answer."""
        exchange, handle = self.exchange(method, target, body)
        answer: web.StreamResponse = await handle(exchange)
        return answer

    def exchange(self, method: str, target: str, body: Any = b"") -> tuple[Exchange, Any]:
        """A request, and what handles it."""
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        headers = CIMultiDictProxy(CIMultiDict({"Content-Type": "application/json"}))
        rest = parse_request(method, target, headers)
        match = PATHS.match(rest.segments())
        assert match is not None
        exchange = Exchange(
            request=None,  # type: ignore[arg-type]
            rest=rest,
            responder=responder_for(rest),
            names=match.parameters,
            parts=self.parts(data),
            body=Body(rest, data, data, Bounds(nesting=100, values=1000)),
        )
        return exchange, ROUTES[match.pattern][method]

    def parts(self, body: bytes = b"") -> Any:
        """What handlers work with; `body` is that of the request, where it is read piecemeal."""

        async def pieces(request, rest):
            yield body

        async def send(request, made):
            return web.Response(status=made.status, headers=made.headers, body=made.body)

        return Parts(
            upstream=self.upstream,  # type: ignore[arg-type]
            forwarder=self.upstream,
            endpoints=self.endpoints,
            document_endpoints=self.endpoints,
            metrics=SemanticMetrics(Metrics(Figures())),
            registry=self.registry,  # type: ignore[arg-type]
            guard=self.guard,  # type: ignore[arg-type]
            abilities=Abilities(self.upstream),  # type: ignore[arg-type]
            release=UpstreamRelease(self.upstream),  # type: ignore[arg-type]
            tasks=self.tasks,
            read_body=None,  # type: ignore[arg-type]
            read_pieces=pieces,
            send=send,
            default_id=None,
        )


def world(target: Target, *answers: Any) -> World:
    return World(Upstream(answers), Registry(target))
