"""What the upstream makes of documents in pipelines: `_simulate`, which stores nothing.

Source: SimulateExecutionService, SimulateDocumentBaseResult.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from proxy.ground.errors import IllegalArgument, ProxyError, StatusError, UpstreamBroken
from proxy.ground.frames import forget_frames
from proxy.limits.threads import offload
from proxy.semantic.answerjson import AT_ONCE, listed_in, with_sources
from proxy.semantic.exchange import Exchange
from proxy.semantic.pipelines import Config, is_of_caller
from proxy.semantic.ports import UpstreamAnswer
from proxy.semantic.told import is_forbidden, told_or_nothing
from proxy.xcontent.writing import dump_json

INLINE: Final = "/_ingest/pipeline/_simulate"
_STORED: Final = "/_ingest/pipeline/{}/_simulate"
_METADATA: Final = {"_index": "_index", "_id": "_id", "_routing": "routing"}  # by action line
# How Elasticsearch's exceptions end a request; all others are failures of its own.
_STATUSES: Final = {
    "illegal_argument_exception": 400,
    "number_format_exception": 400,
    "parse_exception": 400,
    "script_exception": 400,
    "status_exception": 400,
    "x_content_parse_exception": 400,
    "security_exception": 403,
    "resource_not_found_exception": 404,
    "es_rejected_execution_exception": 429,
}
_NEEDS_CALLER: Final = (
    "{} has a processor [set_security_user], and semantic fields or inference processors need its "
    "outcome: that takes the privilege [read_pipeline]"
)


@dataclass(slots=True, kw_only=True)
class Draft:
    """A document on its way through pipelines."""

    data: bytes  # an object
    meta: dict[str, Any]  # what an action line says of it
    error: ProxyError | None = None
    is_dropped: bool = False

    @property
    def is_open(self) -> bool:
        """Whether it goes on."""
        return self.error is None and not self.is_dropped

    def rendered(self) -> bytes:
        """As it is simulated."""
        known = {
            name: self.meta[key]
            for name, key in _METADATA.items()
            if self.meta.get(key) is not None
        }
        comma = b"," if known else b""
        return b'%b%b"_source":%b}' % (dump_json(known)[:-1], comma, self.data)

    def become(self, outcome: Any, sources: Sequence[bytes]) -> None:
        """Take over what has come of it, as an answer says that was read with its sources."""
        match outcome:
            case {"doc": {"_source": int() as number, **found}}:
                self.data = sources[number]
                for name, key in _METADATA.items():
                    if found.get(name) is None:
                        self.meta.pop(key, None)
                    elif found[name] != name:  # what a document without one has
                        self.meta[key] = found[name]
            case {"error": Mapping() as error}:
                self.error = told(error)
            case None:
                self.is_dropped = True
            case _:
                self.error = UpstreamBroken("upstream node answered with an unclear outcome")


def meta_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """What an action line would say of a document that a request to simulate has."""
    return {key: document[name] for name, key in _METADATA.items() if name in document}


async def simulate(exchange: Exchange, pipeline: str | Config, drafts: Sequence[Draft]) -> None:
    """Run documents through a pipeline: one that is stored, or a definition.

    What fails is the error of its document.
    """
    if not drafts:
        return
    try:
        answer = await _ask(exchange, pipeline, drafts)
        if answer.status != 200:
            raise _problem(pipeline, answer)
        await offload(len(answer.body), AT_ONCE, lambda: _take_over(answer, drafts))
    except ProxyError as error:
        forget_frames(error)
        for draft in drafts:
            draft.error = error


async def _ask(
    exchange: Exchange, pipeline: str | Config, drafts: Sequence[Draft]
) -> UpstreamAnswer:
    own = b"" if isinstance(pipeline, str) else b'"pipeline":%b,' % dump_json(pipeline)
    target = INLINE if own else _STORED.format(quote(str(pipeline), safe=""))
    body = b'{%b"docs":[%b]}' % (own, b",".join(draft.rendered() for draft in drafts))
    upstream = exchange.parts.upstream
    answer = await upstream.ask_as_caller(exchange.request, "POST", target, body)
    if answer.status != 403:
        return answer
    # Writing does not ask for the privilege to simulate.
    if isinstance(pipeline, str):
        path = f"/_ingest/pipeline/{quote(pipeline, safe='')}"
        found = await upstream.ask_as_proxy("GET", path)
        definition = {} if is_forbidden(found) else told_or_nothing(found)
    else:
        definition = pipeline
    if is_of_caller(definition):
        raise StatusError(403, _NEEDS_CALLER.format(_name_of(pipeline)))
    return await upstream.ask_as_proxy("POST", target, body)


def _take_over(answer: UpstreamAnswer, drafts: Sequence[Draft]) -> None:
    document, sources = with_sources(answer.body, answer.status)
    docs = listed_in(document, "docs", len(drafts))
    for draft, outcome in zip(drafts, docs, strict=True):
        draft.become(outcome, sources)


def told(error: Mapping[Any, Any]) -> ProxyError:
    """An error of the upstream's as one of ours."""
    kind = str(error.get("type", "exception"))
    found = StatusError(_STATUSES.get(kind, 500), str(error.get("reason")))
    found.type = kind
    found.extra = {key: error[key] for key in error if key not in ("type", "reason", "root_cause")}
    return found


def _problem(pipeline: str | Config, answer: UpstreamAnswer) -> ProxyError:
    """Why nothing could be simulated."""
    is_missing = answer.status in (400, 404) and b"does not exist" in answer.body
    if is_missing and isinstance(pipeline, str):
        return IllegalArgument(f"pipeline with id [{pipeline}] does not exist")
    return StatusError(
        answer.status if answer.status >= 400 else 502,
        f"{_name_of(pipeline)} could not be run before texts are embedded: the upstream answered "
        f"[{answer.status}] when asked to simulate it",
    )


def _name_of(pipeline: str | Config) -> str:
    return f"the pipeline [{pipeline}]" if isinstance(pipeline, str) else "[on_failure]"
