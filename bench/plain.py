"""The proxy that anybody would write first: one aiohttp handler that forwards with ClientSession.

python -m bench.plain UPSTREAM PORT
"""

from __future__ import annotations

import sys

from aiohttp import ClientSession, DummyCookieJar, web

SESSION = web.AppKey("session", ClientSession)
SKIPPED = {"connection", "keep-alive", "te", "transfer-encoding", "upgrade", "host"}


async def forward(request: web.Request) -> web.StreamResponse:
    url = sys.argv[1] + request.raw_path
    headers = {
        name: value for name, value in request.headers.items() if name.lower() not in SKIPPED
    }
    body = request.content if request.body_exists else None
    session = request.app[SESSION]
    async with session.request(request.method, url, headers=headers, data=body) as answer:
        kept = {n: v for n, v in answer.headers.items() if n.lower() not in SKIPPED}
        response = web.StreamResponse(status=answer.status, headers=kept)
        await response.prepare(request)
        async for piece in answer.content.iter_any():
            await response.write(piece)
        await response.write_eof()
        return response


async def make() -> web.Application:
    app = web.Application(client_max_size=1 << 40)
    app.router.add_route("*", "/{tail:.*}", forward)
    app[SESSION] = ClientSession(cookie_jar=DummyCookieJar(), auto_decompress=False)
    return app


if __name__ == "__main__":
    import uvloop

    uvloop.install()
    web.run_app(make(), host="127.0.0.1", port=int(sys.argv[2]), access_log=None, print=None)
