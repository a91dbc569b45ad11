"""The admin port: what is loaded, what was counted, and the kill switch.

Rule: without a token it listens on loopback only; with one, every request but /ping shows it.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from consent_mw.errors import PolicyError, ServeError
from consent_mw.sidecar.plane import Plane
from consent_mw.wire.request_head import Refusal, RequestHead, read_head
from consent_mw.world.metrics import exposition

LARGEST_BODY = 4096
Answer = tuple[int, bytes, bytes]


class Admin:
    """Answers on the admin port. `reload` loads the policy anew and raises PolicyError if it is unsound."""

    def __init__(self, plane: Plane, reload: Callable[[], Awaitable[None]], token: str = "") -> None:
        self._plane = plane
        self._reload = reload
        self._token = token

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        try:
            async with asyncio.timeout(10):
                status, kind, body = await self._read(reader)
                head = b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n" % (
                    status,
                    HTTPStatus(status).phrase.encode(),
                    kind,
                    len(body),
                )
                writer.write(head + b"Cache-Control: no-store\r\nConnection: close\r\n\r\n" + body)
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> Answer:
        head = read_head(await reader.readuntil(b"\r\n\r\n"))
        if isinstance(head, Refusal):
            return _told(head.status, {"error": head.sentence})
        if head.length is None or head.length > LARGEST_BODY:
            return _told(413, {"error": "the body is too large"})
        return await self.answer(head, await reader.readexactly(head.length))

    async def answer(self, head: RequestHead, body: bytes) -> Answer:
        """The status, media type and body for this request."""
        path = head.target.partition(b"?")[0]
        if path != b"/ping" and not self._allowed(head):
            return _told(401, {"error": "the token is missing or wrong"})
        gate, plane = self._plane.gate, self._plane
        match head.method, path:
            case b"GET", b"/ping":
                return 200, b"text/plain", b"pong\n"
            case b"GET", b"/ready":
                loaded = {
                    "policy": gate.policy.revision,
                    "databases": not gate.locator.problems,
                    "keys": True,
                    "store": gate.healthy,
                    "draining": plane.draining,
                    "bypassed": gate.bypassed,
                }
                # A store that fails later leaves the site up (SPEC 10), so that it takes nobody out of service.
                whole = gate.started and gate.store is not None and not gate.locator.problems
                ready = whole and not plane.draining
                return _told(200 if ready else 503, loaded)
            case b"GET", b"/metrics":
                text = exposition(plane.meters, lambda: gate.counts, lambda: len(plane.connections))
                return 200, b"text/plain; version=0.0.4; charset=utf-8", text
            case b"GET", b"/policy":
                return _told(200, self._policy())
            case b"POST", b"/reload":
                return await self._reloaded()
            case b"POST", b"/bypass":
                return self._bypass(body)
            case _, b"/ping" | b"/ready" | b"/metrics" | b"/policy" | b"/reload" | b"/bypass":
                return _told(405, {"error": "this is not asked for that way"})
        return _told(404, {"error": "there is no such page"})

    def _allowed(self, head: RequestHead) -> bool:
        if not self._token:
            # A web page can reach loopback, but a browser's POST always says its Origin (Fetch 3.2).
            return not any(name.lower() == b"origin" for name, _ in head.headers)
        said = [value for name, value in head.headers if name.lower() == b"authorization"]
        return len(said) == 1 and hmac.compare_digest(said[0], b"Bearer " + self._token.encode())

    def _policy(self) -> dict[str, object]:
        policy = self._plane.gate.policy
        named = {"revision": policy.revision, "digest": policy.digest, "file": policy.file}
        return {**named, "mode": policy.mode.value, "bypassed": self._plane.gate.bypassed}

    async def _reloaded(self) -> Answer:
        try:
            await self._reload()
        except (PolicyError, ServeError, OSError) as error:
            return _told(409, {"error": "not reloaded, the old policy stays in force", "problems": str(error)})
        return _told(200, self._policy())

    def _bypass(self, body: bytes) -> Answer:
        try:
            asked = json.loads(body or b'{"on": true}')
        except ValueError:
            asked = None
        if not isinstance(asked, dict) or not isinstance(asked.get("on"), bool):
            return _told(400, {"error": 'the body must be {"on": true} or {"on": false}'})
        self._plane.gate.bypassed = asked["on"]
        return _told(200, {"bypassed": asked["on"]})


def _told(status: int, content: dict[str, object]) -> Answer:
    return status, b"application/json", json.dumps(content).encode() + b"\n"
