"""Clearing the endpoint store through the API, as any user could."""

from __future__ import annotations

import orjson

from tests.support.rawhttp import send


def delete_all_endpoints(url: str, authorization: str | None = None) -> None:
    """Delete every inference endpoint that the proxy at `url` knows."""
    headers = [("Authorization", authorization)] if authorization else []
    answer = send(url, "GET", "/_inference/_all", headers)
    assert answer.status == 200, answer.text
    for endpoint in orjson.loads(answer.content)["endpoints"]:
        path = f"/_inference/{endpoint['inference_id']}?force=true"
        answer = send(url, "DELETE", path, headers)
        assert answer.status == 200, answer.text
