"""Which handler answers which request; all others are handed on as they are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from proxy.rest.routing import PathTrie
from proxy.semantic.copying import cancel_task, get_task, reindex, update_by_query
from proxy.semantic.declaring import OF_INDEX, OF_TEMPLATE, declaring, put_mapping
from proxy.semantic.exchange import Exchange
from proxy.semantic.ingest import (
    change,
    delete_pipeline,
    get_pipelines,
    put_pipeline,
    simulate_ingest,
    simulate_pipeline,
)
from proxy.semantic.reading import get_document, get_documents, search
from proxy.semantic.showing import (
    component_templates,
    field_capabilities,
    field_mappings,
    index_templates,
    indices,
    showing,
    simulated,
)
from proxy.semantic.writing import bulk, put_document, update_document

Handler = Callable[[Exchange], Awaitable[web.StreamResponse]]

_MAPPING: Final[dict[str, Handler]] = {
    "PUT": put_mapping,
    "POST": put_mapping,
    "GET": showing(indices),
}
_FIELD_CAPS: Final[dict[str, Handler]] = {"GET": field_capabilities, "POST": field_capabilities}
_SIMULATE: Final[dict[str, Handler]] = {"POST": showing(simulated)}
_OF_INDEX: Final = declaring(OF_INDEX)
_OF_TEMPLATE: Final = declaring(OF_TEMPLATE)

_BULK: Final[dict[str, Handler]] = {"POST": bulk, "PUT": bulk}
_INDEX: Final[dict[str, Handler]] = {"POST": put_document, "PUT": put_document}

_SEARCH: Final[dict[str, Handler]] = {"GET": search, "POST": search}
_TRY: Final[dict[str, Handler]] = {"GET": simulate_pipeline, "POST": simulate_pipeline}
_TRY_ALL: Final[dict[str, Handler]] = {"GET": simulate_ingest, "POST": simulate_ingest}

ROUTES: Final[dict[str, dict[str, Handler]]] = {
    "/{index}": {"PUT": _OF_INDEX, "GET": showing(indices), "DELETE": change},
    "/_settings": {"PUT": change},
    "/{index}/_settings": {"PUT": change},
    "/{index}/_mapping": _MAPPING,
    "/{index}/_mappings": _MAPPING,
    "/_mapping": {"GET": showing(indices)},
    "/_mapping/{index}": _MAPPING,
    "/_mappings": {"GET": showing(indices)},
    "/_mapping/field/{field}": {"GET": field_mappings},
    "/{index}/_mapping/field/{field}": {"GET": field_mappings},
    "/{index}/_rollover": {"POST": _OF_INDEX},
    "/{index}/_rollover/{new}": {"POST": _OF_INDEX},
    "/_bulk": _BULK,
    "/{index}/_bulk": _BULK,
    "/{index}/_doc": {"POST": put_document},
    "/{index}/_doc/{id}": {**_INDEX, "GET": get_document, "HEAD": get_document},
    "/{index}/_create/{id}": _INDEX,
    "/{index}/_update/{id}": {"POST": update_document},
    "/{index}/_source/{id}": {"GET": get_document, "HEAD": get_document},
    "/_mget": {"GET": get_documents, "POST": get_documents},
    "/{index}/_mget": {"GET": get_documents, "POST": get_documents},
    "/_search": _SEARCH,
    "/{index}/_search": _SEARCH,
    "/_reindex": {"POST": reindex},
    "/{index}/_update_by_query": {"POST": update_by_query},
    "/_tasks/{task_id}": {"GET": get_task},
    "/_tasks/{task_id}/_cancel": {"POST": cancel_task},
    "/_ingest/_simulate": _TRY_ALL,
    "/_ingest/{index}/_simulate": _TRY_ALL,
    "/_ingest/pipeline": {"GET": get_pipelines},
    "/_ingest/pipeline/{id}": {
        "PUT": put_pipeline,
        "GET": get_pipelines,
        "DELETE": delete_pipeline,
    },
    "/_ingest/pipeline/_simulate": _TRY,
    "/_ingest/pipeline/{id}/_simulate": _TRY,
    "/_field_caps": _FIELD_CAPS,
    "/{index}/_field_caps": _FIELD_CAPS,
    "/_index_template": {"GET": showing(index_templates)},
    "/_index_template/{name}": {
        "PUT": _OF_TEMPLATE,
        "POST": _OF_TEMPLATE,
        "GET": showing(index_templates),
    },
    "/_index_template/_simulate": _SIMULATE,
    "/_index_template/_simulate/{name}": _SIMULATE,
    "/_index_template/_simulate_index/{name}": _SIMULATE,
    "/_component_template": {"GET": showing(component_templates)},
    "/_component_template/{name}": {
        "PUT": _OF_TEMPLATE,
        "POST": _OF_TEMPLATE,
        "GET": showing(component_templates),
    },
    "/_template": {"GET": showing(indices)},
    "/_template/{name}": {"PUT": _OF_INDEX, "POST": _OF_INDEX, "GET": showing(indices)},
}
PATHS: Final = PathTrie(ROUTES)
