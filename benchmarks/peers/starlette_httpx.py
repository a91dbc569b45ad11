"""A reverse proxy of Starlette and httpx.AsyncClient, as it is usually written; served by uvicorn."""

from __future__ import annotations

import os

import httpx
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

HOP_BY_HOP = frozenset({"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"})
client = httpx.AsyncClient(base_url=os.environ["PEER_UPSTREAM"])


async def forward(request: Request) -> StreamingResponse:
    """Forward this request and stream the answer back."""
    url = httpx.URL(path=request.url.path, query=request.url.query.encode())
    headers = [(name, value) for name, value in request.headers.raw if name.decode() not in HOP_BY_HOP]
    sent = client.build_request(request.method, url, headers=headers, content=await request.body())
    answer = await client.send(sent, stream=True)
    reply = StreamingResponse(answer.aiter_raw(), answer.status_code, background=BackgroundTask(answer.aclose))
    reply.raw_headers = [pair for pair in answer.headers.raw if pair[0].decode().lower() not in HOP_BY_HOP]
    return reply


app = Starlette(routes=[Route("/{path:path}", forward, methods=["GET", "HEAD", "POST"])])
