"""The admin port: is it alive, is it ready, what has it counted, which policy is in force; reload, kill switch.

Rule: only the loopback is answered, unless a token is set; then only who knows it is.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from consent_mw.errors import ServeError
from consent_mw.sidecar.answers import REASONS
from consent_mw.wire.request_head import LONGEST_HEAD, RequestHead, read_head
from consent_mw.world.metrics import CONTENT_TYPE, Metrics

if TYPE_CHECKING:
    from consent_mw.sidecar.serving import Serving

LONGEST_BODY = 4096
Answer = tuple[int, str, bytes]


class Admin:
    """Answers on the admin port."""

    def __init__(self, serving: Serving, token: str = "") -> None:
        self._serving = serving
        self._token = token
        self._server: asyncio.Server | None = None
        self._metrics = Metrics(serving.counters, serving.gauges)
        self._routes: Mapping[tuple[bytes, bytes], Callable[[bytes], Awaitable[Answer]]] = {
            (b"GET", b"/ping"): self._ping,
            (b"GET", b"/ready"): self._ready,
            (b"GET", b"/metrics"): self._show_metrics,
            (b"GET", b"/policy"): self._policy,
            (b"POST", b"/reload"): self._reload,
            (b"POST", b"/bypass"): self._bypass,
        }

    async def listen(self, host: str, port: int) -> str:
        """Begin to listen; returns the address. Raises ServeError where that cannot be."""
        if not self._token and not _loopback(host):
            raise ServeError(f"--admin {host} is not the loopback: set CONSENT_MW_ADMIN_TOKEN to open it")
        try:
            self._server = await asyncio.start_server(self._serve, host, port, limit=LONGEST_HEAD)
        except OSError as error:
            raise ServeError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
        name = self._server.sockets[0].getsockname()
        return f"http://[{name[0]}]:{name[1]}" if ":" in name[0] else f"http://{name[0]}:{name[1]}"

    def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(10.0):
                status, media, body = await self._answer(reader)
            reason = REASONS.get(status, b"OK").decode()
            head = f"HTTP/1.1 {status} {reason}\r\nContent-Type: {media}\r\nContent-Length: {len(body)}\r\n"
            writer.write(head.encode() + b"Cache-Control: no-store\r\nConnection: close\r\n\r\n" + body)
            await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> Answer:
        head = read_head(await reader.readuntil(b"\r\n\r\n"))
        if not isinstance(head, RequestHead):
            return _said(head.status, error=head.sentence)
        if self._token and not self._knows_token(head):
            return _said(401, error="send the token as Authorization: Bearer")
        body = await reader.readexactly(min(head.length or 0, LONGEST_BODY))
        path = head.target.partition(b"?")[0]
        route = self._routes.get((head.method, path))
        if route is not None:
            return await route(body)
        known = any(path == other for _, other in self._routes)
        return _said(405 if known else 404, error="this is not served here")

    def _knows_token(self, head: RequestHead) -> bool:
        said = [value for name, value in head.headers if name.lower() == b"authorization"]
        return len(said) == 1 and hmac.compare_digest(said[0], b"Bearer " + self._token.encode())

    async def _ping(self, _body: bytes) -> Answer:
        return _said(200, ping="pong")

    async def _ready(self, _body: bytes) -> Answer:
        checks = self._serving.readiness()
        ready = all(value is True for value in checks.values())
        return 200 if ready else 503, "application/json", json.dumps({"ready": ready, **checks}).encode()

    async def _show_metrics(self, _body: bytes) -> Answer:
        return 200, CONTENT_TYPE, self._metrics.text()

    async def _policy(self, _body: bytes) -> Answer:
        return 200, "application/json", json.dumps(self._serving.policy_in_force()).encode()

    async def _reload(self, _body: bytes) -> Answer:
        problem = await self._serving.reload()
        return _said(200, reloaded=True) if not problem else _said(409, reloaded=False, error=problem)

    async def _bypass(self, body: bytes) -> Answer:
        try:
            wanted = json.loads(body or b'{"on": true}')
        except ValueError:
            wanted = None
        if not isinstance(wanted, dict) or not isinstance(wanted.get("on"), bool):
            return _said(400, error='send {"on": true} or {"on": false}')
        self._serving.gate.bypassed = wanted["on"]
        return _said(200, bypass=wanted["on"])


def _said(status: int, **values: object) -> Answer:
    return status, "application/json", json.dumps(values).encode()


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
