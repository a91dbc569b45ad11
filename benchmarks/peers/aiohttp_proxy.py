"""A reverse proxy of aiohttp's server and client: `python aiohttp_proxy.py PORT UPSTREAM`."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator

import aiohttp
import uvloop
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

HOP_BY_HOP = ("Connection", "Keep-Alive", "TE", "Trailer", "Transfer-Encoding", "Upgrade")
SESSION = web.AppKey("session", aiohttp.ClientSession)
UPSTREAM = web.AppKey("upstream", str)


async def session_of(app: web.Application) -> AsyncIterator[None]:
    """One session without a cookie jar, for as long as the app runs."""
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=3600)
    jar = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(connector=connector, cookie_jar=jar, auto_decompress=False) as session:
        app[SESSION] = session
        yield


async def forward(request: web.Request) -> web.StreamResponse:
    """Forward this request and stream the answer back."""
    url = URL(request.app[UPSTREAM] + request.raw_path, encoded=True)
    headers = _end_to_end(request.headers)
    body = request.content if request.body_exists else None
    session = request.app[SESSION]
    async with session.request(request.method, url, headers=headers, data=body, allow_redirects=False) as answer:
        reply = web.StreamResponse(status=answer.status, headers=_end_to_end(answer.headers))
        await reply.prepare(request)
        async for chunk in answer.content.iter_any():
            await reply.write(chunk)
        await reply.write_eof()
        return reply


def _end_to_end(headers: CIMultiDict[str]) -> CIMultiDict[str]:
    kept = CIMultiDict(headers)
    for name in HOP_BY_HOP:
        kept.popall(name, None)
    return kept


if __name__ == "__main__":
    uvloop.install()
    app = web.Application()
    app[UPSTREAM] = sys.argv[2]
    app.cleanup_ctx.append(session_of)
    app.router.add_route("*", "/{path:.*}", forward)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
