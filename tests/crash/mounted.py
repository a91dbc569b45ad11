"""The site with the middleware mounted, under uvicorn: says where it listens, as the sidecar does.

`python -m tests.crash.mounted '{"module": {"NAME": 1}}' POLICY STORE` changes the constants of modules first.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from typing import Any

import uvicorn

from consent_mw import ConsentMiddleware
from tests.crash.site import answer
from tests.journeys.site import KEY
from tests.sidecar.launch import change


async def site(scope: Any, receive: Any, send: Any) -> None:
    """The site as an ASGI app."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    status, fields, body = answer(f"{scope['path']}?{scope['query_string'].decode()}")
    headers = [(name.lower().encode(), value.encode()) for name, value in fields]
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def main(constants: str, policy: str, store: str) -> None:
    """Serve until told to stop."""
    change(json.loads(constants))
    app = ConsentMiddleware(site, policy=policy, keys=[KEY], store=store)
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, proxy_headers=False, log_level="warning", timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)

    async def serve() -> None:
        serving = asyncio.create_task(server.serve([listener]))
        while not server.started and not serving.done():  # noqa: ASYNC110  it tells in no other way
            await asyncio.sleep(0.01)
        print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        await serving

    asyncio.run(serve())


if __name__ == "__main__":
    main(*sys.argv[1:])
