"""Which handler answers which request; all others are handed on as they are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from proxy.rest.routing import PathTrie
from proxy.semantic import sql
from proxy.semantic.capabilities import field_capabilities
from proxy.semantic.copying import reindex, update_by_query
from proxy.semantic.declaring import (
    ITSELF,
    OF_COMPONENT,
    OF_INDEX,
    OF_TEMPLATE,
    declaring,
    put_mapping,
    simulating,
)
from proxy.semantic.esql import requests as esql
from proxy.semantic.exchange import Exchange
from proxy.semantic.ingest.requests import (
    get_pipelines,
    put_pipeline,
    simulate_ingest,
    simulate_pipeline,
)
from proxy.semantic.multisearches import multi_search, multi_search_template, rank_evaluation
from proxy.semantic.pages import clear_scrolls, found_so_far, next_page
from proxy.semantic.reading import get_document, get_documents
from proxy.semantic.searches import few, querying, scrolled, search, validate
from proxy.semantic.showing import (
    field_mappings,
    show_mappings,
    show_state,
    show_tasks_in_a_table,
)
from proxy.semantic.singles import put_document, update_document
from proxy.semantic.taskrequests import cancel_task, cancel_tasks, get_task, list_tasks
from proxy.semantic.templates import search_template
from proxy.semantic.trainedmodels import infer
from proxy.semantic.writing import bulk

Handler = Callable[[Exchange], Awaitable[web.StreamResponse]]

_MAPPING: Final[dict[str, Handler]] = {
    "PUT": put_mapping,
    "POST": put_mapping,
    "GET": show_mappings,
}
_FIELD_CAPS: Final[dict[str, Handler]] = {"GET": field_capabilities, "POST": field_capabilities}
_SIMULATE: Final[dict[str, Handler]] = {"POST": simulating(OF_TEMPLATE)}
_OF_INDEX: Final = declaring(OF_INDEX)
_OF_TEMPLATE: Final = declaring(OF_TEMPLATE)
_OF_COMPONENT: Final = declaring(OF_COMPONENT)
_OF_DATA_STREAM: Final[dict[str, Handler]] = {"PUT": declaring(ITSELF), "GET": show_mappings}
_STATE: Final[dict[str, Handler]] = {"GET": show_state}

_BULK: Final[dict[str, Handler]] = {"POST": bulk, "PUT": bulk}
_INDEX: Final[dict[str, Handler]] = {"POST": put_document, "PUT": put_document}

_COUNT: Final[dict[str, Handler]] = {"GET": querying(few), "POST": querying(few)}
_VALIDATE: Final[dict[str, Handler]] = {"GET": validate, "POST": validate}
_MSEARCH: Final[dict[str, Handler]] = {"GET": multi_search, "POST": multi_search}
_SCROLL: Final[dict[str, Handler]] = {
    "GET": next_page,
    "POST": next_page,
    "DELETE": clear_scrolls,
}
_RANK_EVAL: Final[dict[str, Handler]] = {"GET": rank_evaluation, "POST": rank_evaluation}
_MSEARCH_TEMPLATE: Final[dict[str, Handler]] = {
    "GET": multi_search_template,
    "POST": multi_search_template,
}
_TEMPLATE: Final[dict[str, Handler]] = {"GET": search_template, "POST": search_template}
_SEARCH: Final[dict[str, Handler]] = {"GET": search, "POST": search}
_TRY: Final[dict[str, Handler]] = {"GET": simulate_pipeline, "POST": simulate_pipeline}
_TRY_ALL: Final[dict[str, Handler]] = {"GET": simulate_ingest, "POST": simulate_ingest}

ROUTES: Final[dict[str, dict[str, Handler]]] = {
    "/{index}": {"PUT": _OF_INDEX, "GET": show_mappings},
    "/{index}/_mapping": _MAPPING,
    "/{index}/_mappings": _MAPPING,
    "/_mapping": {"GET": show_mappings},
    "/_mapping/{index}": _MAPPING,
    "/_mappings": {"GET": show_mappings},
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
    "/_count": _COUNT,
    "/{index}/_count": _COUNT,
    "/_validate/query": _VALIDATE,
    "/{index}/_validate/query": _VALIDATE,
    "/{index}/_explain/{id}": _COUNT,
    "/{index}/_delete_by_query": {"POST": querying(scrolled)},
    "/_msearch": _MSEARCH,
    "/{index}/_msearch": _MSEARCH,
    "/_search/scroll": _SCROLL,
    "/_search/scroll/{id}": _SCROLL,
    "/_async_search": {"POST": search},
    "/{index}/_async_search": {"POST": search},
    "/_async_search/{id}": {"GET": found_so_far},
    "/_query": {"POST": esql.query},
    "/_query/async": {"POST": esql.query},
    "/_query/async/{id}": {"GET": esql.found_so_far},
    "/_query/async/{id}/stop": {"POST": esql.found_so_far},
    "/_sql": {"GET": sql.query, "POST": sql.query},
    "/_sql/async/{id}": {"GET": sql.found_so_far},
    "/_sql/close": {"POST": sql.close},
    "/_sql/translate": {"GET": sql.translate, "POST": sql.translate},
    "/_rank_eval": _RANK_EVAL,
    "/{index}/_rank_eval": _RANK_EVAL,
    "/_msearch/template": _MSEARCH_TEMPLATE,
    "/{index}/_msearch/template": _MSEARCH_TEMPLATE,
    "/_search/template": _TEMPLATE,
    "/{index}/_search/template": _TEMPLATE,
    "/_search": _SEARCH,
    "/{index}/_search": _SEARCH,
    "/_reindex": {"POST": reindex},
    "/{index}/_update_by_query": {"POST": update_by_query},
    "/_cat/tasks": {"GET": show_tasks_in_a_table},
    "/_tasks": {"GET": list_tasks},
    "/_tasks/_cancel": {"POST": cancel_tasks},
    "/_tasks/{task_id}": {"GET": get_task},
    "/_tasks/{task_id}/_cancel": {"POST": cancel_task},
    "/_ingest/_simulate": _TRY_ALL,
    "/_ingest/{index}/_simulate": _TRY_ALL,
    "/_ingest/pipeline": {"GET": get_pipelines},
    "/_ingest/pipeline/{id}": {"PUT": put_pipeline, "GET": get_pipelines},
    "/_ingest/pipeline/_simulate": _TRY,
    "/_ingest/pipeline/{id}/_simulate": _TRY,
    "/_ml/trained_models/{model_id}/_infer": {"POST": infer},
    "/_ml/trained_models/{model_id}/deployment/_infer": {"POST": infer},
    "/_field_caps": _FIELD_CAPS,
    "/{index}/_field_caps": _FIELD_CAPS,
    "/_cluster/state": _STATE,
    "/_cluster/state/{metric}": _STATE,
    "/_cluster/state/{metric}/{index}": _STATE,
    "/_data_stream": {"GET": show_mappings},
    "/_data_stream/{name}": {"GET": show_mappings},
    "/_data_stream/{name}/_mappings": _OF_DATA_STREAM,
    "/_index_template": {"GET": show_mappings},
    "/_index_template/{name}": {
        "PUT": _OF_TEMPLATE,
        "POST": _OF_TEMPLATE,
        "GET": show_mappings,
    },
    "/_index_template/_simulate": _SIMULATE,
    "/_index_template/_simulate/{name}": _SIMULATE,
    "/_index_template/_simulate_index/{name}": _SIMULATE,
    "/_component_template": {"GET": show_mappings},
    "/_component_template/{name}": {
        "PUT": _OF_COMPONENT,
        "POST": _OF_COMPONENT,
        "GET": show_mappings,
    },
    "/_template": {"GET": show_mappings},
    "/_template/{name}": {"PUT": _OF_INDEX, "POST": _OF_INDEX, "GET": show_mappings},
}
PATHS: Final = PathTrie(ROUTES)
