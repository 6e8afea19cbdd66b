"""The inference that anybody would write first: one aiohttp handler that asks with ClientSession.

python -m bench.plaininference PROVIDER PORT
"""

from __future__ import annotations

import sys

from aiohttp import ClientSession, DummyCookieJar, TCPConnector, web

SESSION = web.AppKey("session", ClientSession)
HEADERS = {"Authorization": "Bearer hf_x"}


async def infer(request: web.Request) -> web.Response:
    inputs = (await request.json())["input"]
    if isinstance(inputs, str):
        inputs = [inputs]
    session = request.app[SESSION]
    async with session.post(sys.argv[1], json={"inputs": inputs}, headers=HEADERS) as answer:
        vectors = await answer.json()
    return web.json_response({"text_embedding": [{"embedding": vector} for vector in vectors]})


async def make() -> web.Application:
    app = web.Application()
    app.router.add_post("/_inference/text_embedding/{id}", infer)
    connector = TCPConnector(limit=0)
    app[SESSION] = ClientSession(cookie_jar=DummyCookieJar(), connector=connector)
    return app


if __name__ == "__main__":
    import uvloop

    uvloop.install()
    web.run_app(make(), host="127.0.0.1", port=int(sys.argv[2]), access_log=None, print=None)
