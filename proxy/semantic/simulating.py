"""Pipelines that the upstream runs for the proxy: `_simulate`, with the proxy's own credentials.

Whoever may write a document may have it run through a pipeline, but not simulate one.
Source: SimulatePipelineRequest, SimulateDocumentBaseResult.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from proxy.errors import ProxyError, StatusError
from proxy.limits.threads import offload
from proxy.semantic.exchange import AT_ONCE
from proxy.semantic.pipelines import Config
from proxy.semantic.ports import Upstream, UpstreamAnswer

_METADATA: Final = {"_index": "_index", "_id": "_id", "_routing": "routing"}  # by action line
_BAD_REQUESTS: Final = ("illegal_argument_exception", "parse_exception", "status_exception")


@dataclass(frozen=True, slots=True)
class Draft:
    """A document to run through a pipeline: its text, and what an action line says of it."""

    source: bytes
    meta: Mapping[str, Any]

    def rendered(self) -> bytes:
        known = {
            name: self.meta[key]
            for name, key in _METADATA.items()
            if self.meta.get(key) is not None
        }
        head = orjson.dumps(known)[:-1]
        return b'%b%b"_source":%b}' % (head, b"," if known else b"", self.source)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a document: it is dropped, has failed, or has a source and metadata."""

    source: bytes | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)  # as far as a pipeline has changed it
    error: ProxyError | None = None

    @property
    def is_dropped(self) -> bool:
        return self.source is None and self.error is None


async def simulate(
    upstream: Upstream, target: str, drafts: Sequence[Draft], pipeline: Config | None = None
) -> list[Outcome]:
    """What comes of documents in a pipeline; `pipeline` is one that is not stored.

    Raises: UpstreamError.
    """
    documents = b",".join(draft.rendered() for draft in drafts)
    own = b"" if pipeline is None else b'"pipeline":%b,' % orjson.dumps(pipeline)
    body = b'{%b"docs":[%b]}' % (own, documents)
    answer = await upstream.ask_as_proxy("POST", target, body)
    if answer.status != 200:
        return [Outcome(error=_refusal(answer))] * len(drafts)
    return await offload(len(answer.body), AT_ONCE, lambda: _outcomes(answer.body, drafts))


def recovery(error: ProxyError, tag: str | None, handlers: Sequence[Config]) -> Config:
    """A pipeline that runs the handlers of a processor which has failed with `error`."""
    # What looks like a template in the text would be filled in.
    failing: Config = {"message": error.reason.replace("{{", "{ {"), "on_failure": list(handlers)}
    if tag is not None:
        failing["tag"] = tag
    return {"processors": [{"fail": failing}]}


def _outcomes(body: bytes, drafts: Sequence[Draft]) -> list[Outcome]:
    entries = orjson.loads(body)["docs"]
    return [_outcome(entry, draft) for entry, draft in zip(entries, drafts, strict=True)]


def _outcome(entry: Mapping[str, Any] | None, draft: Draft) -> Outcome:
    if entry is None:
        return Outcome()
    if "error" in entry:
        return Outcome(error=told(entry["error"]))
    document = entry["doc"]
    meta = {}
    for name, key in _METADATA.items():
        value = document.get(name)
        # A document without an id or an index is given one of this name.
        if value is not None and value not in (name, draft.meta.get(key)):
            meta[key] = value
    return Outcome(source=orjson.dumps(document["_source"]), meta=meta)


def told(error: Mapping[str, Any], status: int | None = None) -> ProxyError:
    """An error of the upstream's as one of ours."""
    kind = str(error.get("type", "exception"))
    more = {key: error[key] for key in error if key not in ("type", "reason", "root_cause")}
    if status is None:
        status = 400 if kind in _BAD_REQUESTS else 500
    found = StatusError(status, str(error.get("reason")))
    found.type = kind
    found.extra = more
    return found


def _refusal(answer: UpstreamAnswer) -> ProxyError:
    """Why nothing could be simulated."""
    if answer.status in (401, 403):
        return StatusError(
            503, "the proxy may not run ingest pipelines: its user needs [read_pipeline]"
        )
    try:
        return told(orjson.loads(answer.body)["error"], answer.status)
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return StatusError(502, f"upstream node answered {answer.status} to a simulation")
