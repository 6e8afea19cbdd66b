"""Searches that are templates: the upstream fills them in, and then they are searches like others.

Source: RestSearchTemplateAction, TransportSearchTemplateAction.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from proxy.semantic.answerjson import object_of
from proxy.semantic.exchange import Exchange
from proxy.semantic.searches import answered, body_of
from proxy.xcontent.writing import dump_json

_RENDER: Final = "/_render/template"
_OF_TEMPLATE: Final = ("id", "source", "params")


async def search_template(exchange: Exchange) -> web.StreamResponse:
    """One search that is a template."""
    template = await body_of(exchange)
    body = None if template is None else await rendered(exchange, template)
    if body is None:
        return await exchange.hand_on_unread()
    return await answered(exchange, body, exchange.names.get("index"), is_sent=True)


async def rendered(exchange: Exchange, template: Mapping[str, Any]) -> dict[str, Any] | None:
    """The body of the search that a template stands for; None where there is no search."""
    if template.get("simulate") is True:
        return None
    asked = {name: template[name] for name in _OF_TEMPLATE if name in template}
    answer = await exchange.parts.upstream.ask_as_caller(
        exchange.request, "POST", _RENDER, dump_json(asked)
    )
    if answer.status >= 300:
        return None
    body = object_of(answer).get("template_output")
    if not isinstance(body, dict):
        return None
    more = {name: True for name in ("explain", "profile") if template.get(name) is True}
    return {**body, **more}
