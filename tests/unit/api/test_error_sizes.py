"""An error is small, however much of a request it is about."""

from __future__ import annotations

from typing import Final

import pytest

from tests.support.application import proxy_with
from tests.support.stubs import JSON

EMBED: Final = "/_inference/text_embedding/e1"
CHAT: Final = "/_inference/chat_completion/c1/_stream"
ALLOWED: Final = 8 * 1024  # bytes of an answer
X: Final = "x" * 200_000
LINE: Final = "x" * 60_000  # in a head
USER: Final = {"role": "user", "content": "x"}


def settings(**more):
    return {
        "service": "hugging_face",
        "service_settings": {"url": "http://x/", "api_key": "x", **more},
    }


BODIES: Final = {
    "service": ("PUT", EMBED, {"service": X}),
    "task type": ("PUT", "/_inference/e1", {"task_type": X, "service": "hugging_face"}),
    "similarity": ("PUT", EMBED, settings(similarity=X)),
    "unknown setting": ("PUT", EMBED, settings(**{X: 1})),
    "value of an unknown setting": ("PUT", EMBED, settings(foo=X)),
    "many unknown settings": ("PUT", EMBED, settings(**{f"k{n}": n for n in range(20_000)})),
    "nested settings": ("PUT", EMBED, settings(foo=[[{"a": X}] * 10] * 10)),
    "url": ("PUT", EMBED, settings(url="foo " + X)),
    "dimensions": ("PUT", EMBED, settings(dimensions=X)),
    "rate limit": ("PUT", EMBED, settings(rate_limit={"requests_per_minute": X})),
    "strategy": ("PUT", EMBED, {**settings(), "chunking_settings": {"strategy": X}}),
    "unknown field of a configuration": ("PUT", EMBED, {**settings(), X: 1}),
    "task settings": ("PUT", EMBED, {**settings(), "task_settings": {X: X}}),
    "update": ("PUT", EMBED + "/_update", {X: 1}),
    "input type": ("POST", EMBED, {"input": "x", "input_type": X}),
    "unknown field": ("POST", EMBED, {"input": "x", X: 1}),
    "number": ("POST", EMBED, {"input": "x", "top_n": X}),
    "broken body": ("POST", EMBED, ('{"input":' + X).encode()),
    "name given twice": ("POST", EMBED, f'{{"{X}":1,"{X}":2}}'.encode()),
    "unknown field of a chat": ("POST", CHAT, {"messages": [USER], X: 1}),
    "role": ("POST", CHAT, {"messages": [{"role": X, "content": {X: 1}}]}),
    "path": ("GET", "/_inference/a/b/c/" + LINE, None),
    "id": ("GET", "/_inference/" + LINE, None),
    "id with capitals": ("PUT", "/_inference/text_embedding/" + LINE.upper(), settings()),
    "long id": ("PUT", "/_inference/text_embedding/" + LINE, settings()),
    "task type in the path": ("GET", f"/_inference/{LINE}/x", None),
    "parameter": ("GET", "/_inference?" + LINE, None),
    "many parameters": ("GET", "/_inference?" + "&".join(f"p{n}" for n in range(8000)), None),
    "escape in the path": ("GET", "/_inference/%zz" + LINE, None),
    "escape in the query": ("GET", "/_inference?a=%zz" + LINE, None),
    "flag": ("GET", "/_inference?pretty=" + LINE, None),
    "error trace": ("GET", f"/_inference/{LINE}?error_trace", None),
    "time": ("POST", f"{EMBED}?timeout={LINE}", {"input": "x"}),
    "method": ("PATCH", "/_inference/" + LINE, None),
    "content type": ("POST", EMBED, b"x", {"Content-Type": "text/" + LINE}),
    "no content type": ("POST", EMBED, b"x", {"Content-Type": LINE}),
    "version": ("POST", EMBED, b"x", {"Content-Type": f"application/json;compatible-with={LINE}"}),
    "coding": ("POST", EMBED, b"x", {**JSON, "Content-Encoding": f"{' ' * 60_000}gzip"}),
    "accept": ("GET", "/_inference", None, {"Accept": f"text/x;{LINE}"}),
}


@pytest.mark.parametrize("place", BODIES)
async def test_no_error_repeats_much_of_a_request(tmp_path, place):
    async with proxy_with(tmp_path) as proxy:
        await proxy.put("text_embedding")
        await proxy.put("chat_completion", "c1")
        answer = await proxy(*BODIES[place])
        assert 400 <= answer.status < 500
        assert len(answer.body) < ALLOWED
