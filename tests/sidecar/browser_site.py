"""A site with what browsers ask for: a page and its parts, a form, a download, uploads, events, a WebSocket."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

PAGE = """<!doctype html><html lang=en><head><meta charset=utf-8><title>Shop</title><link rel=icon href="data:,">
<link rel=stylesheet href=/style.css><script src=/app.js defer></script></head><body><h1>Shop</h1>
<img id=logo src=/logo.gif alt=logo><form method=post action=/form enctype=application/x-www-form-urlencoded>
<input name=name><button id=send>Send</button></form><a id=download href=/download>Download</a></body></html>"""
STYLE = "h1 { color: rgb(1, 2, 3) }"
SCRIPT = "window.scripted = document.querySelectorAll('img').length"
LOGO = bytes.fromhex("47494638396101000100800000ff0000ffffff2c00000000010001000002024401003b")
PARTS: dict[str, tuple[str | bytes, str]] = {
    "/style.css": (STYLE, "text/css"),
    "/app.js": (SCRIPT, "text/javascript"),
    "/logo.gif": (LOGO, "image/gif"),
}
DOWNLOAD = bytes(range(256)) * 40_000


async def page(request: Request) -> Response:
    """The page, with a cookie of each kind."""
    answer = HTMLResponse(PAGE)
    answer.set_cookie("session", "s")
    answer.set_cookie("_ga", "g")
    return answer


async def part(request: Request) -> Response:
    """A part of the page, which caches may keep."""
    said = {
        "/style.css": (STYLE, "text/css"),
        "/app.js": (SCRIPT, "text/javascript"),
        "/logo.gif": (LOGO, "image/gif"),
    }
    content, kind = said[request.url.path]
    return Response(content, media_type=kind, headers={"cache-control": "public, max-age=600"})


async def form(request: Request) -> Response:
    """What a form says is said again on the page after it."""
    name = parse_qs((await request.body()).decode())["name"][0]
    return RedirectResponse(f"/hello?name={name}", 303)


async def hello(request: Request) -> Response:
    """A page that says a name."""
    said = f"<p id=hello>Hello {request.query_params['name']}"
    return HTMLResponse(f"<!doctype html><link rel=icon href=data:,><title>Hello</title>{said}")


async def download(request: Request) -> Response:
    """A file that is not shown."""

    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(DOWNLOAD), 100_000):
            yield DOWNLOAD[start : start + 100_000]

    kept = {"content-disposition": 'attachment; filename="all.bin"'}
    return StreamingResponse(parts(), media_type="application/octet-stream", headers=kept)


async def upload(request: Request) -> Response:
    """How many bytes came, and their digest."""
    digest, size = hashlib.sha256(), 0
    async for chunk in request.stream():
        digest.update(chunk)
        size += len(chunk)
    return JSONResponse({"size": size, "sha256": digest.hexdigest(), "type": request.headers.get("content-type")})


async def events(request: Request) -> Response:
    """Three events, then silence until the browser goes; a second connection says which was the last one seen."""

    async def lines() -> AsyncIterator[str]:
        for number in range(3):
            yield f"id: {number}\ndata: {number}\n\n"
            await asyncio.sleep(0.02)
        await asyncio.sleep(60)

    return StreamingResponse(lines(), media_type="text/event-stream")


async def socket(websocket: WebSocket) -> None:
    """Says everything again."""
    await websocket.accept(subprotocol="echo")
    async for message in websocket.iter_text():
        await websocket.send_text(message)
        if message == "end":
            await websocket.close(4000, "as you wish")
            return


app = Starlette(
    routes=[
        Route("/", page),
        Route("/form", form, methods=["POST"]),
        Route("/hello", hello),
        Route("/download", download),
        Route("/upload", upload, methods=["POST", "PUT"]),
        Route("/events", events),
        *(Route(path, part) for path in PARTS),
        WebSocketRoute("/socket", socket),
    ]
)
