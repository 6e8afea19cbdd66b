"""Endpoints made, used and deleted through the API, as any caller could."""

from __future__ import annotations

from typing import Final

import orjson

from tests.support.rawhttp import Answer, Headers, send

JSON: Final = [("Content-Type", "application/json")]
PATHS: Final = {"text_embedding": "/embed", "completion": "/v1/chat/completions"}


def put(
    url: str,
    inference_id: str,
    provider: str,
    task: str = "text_embedding",
    headers: Headers = (),
) -> Answer:
    """Create an endpoint whose provider is the one of the contract cases."""
    settings = {"api_key": "secret", "url": provider + PATHS[task]}
    body = orjson.dumps({"service": "hugging_face", "service_settings": settings})
    return send(url, "PUT", f"/_inference/{task}/{inference_id}", [*JSON, *headers], body)


def infer(url: str, inference_id: str, timeout: float = 60.0) -> Answer:
    """Use an endpoint with the shortest input."""
    return send(url, "POST", f"/_inference/{inference_id}", JSON, b'{"input":"a"}', timeout)


def delete_all_endpoints(url: str, authorization: str | None = None) -> None:
    """Delete every inference endpoint that the proxy at `url` knows."""
    headers = [("Authorization", authorization)] if authorization else []
    answer = send(url, "GET", "/_inference/_all", headers)
    assert answer.status == 200, answer.text
    for endpoint in orjson.loads(answer.content)["endpoints"]:
        path = f"/_inference/{endpoint['inference_id']}?force=true"
        answer = send(url, "DELETE", path, headers)
        assert answer.status == 200, answer.text
