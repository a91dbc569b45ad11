"""The admin port: what is loaded, what was counted, and the kill switch.

Rule: without a token it listens on loopback only; with one, every request but /ping shows it.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from http import HTTPStatus

from consent_mw.core.inventory import totals
from consent_mw.errors import ConsentError, StoreError
from consent_mw.sidecar.crew import Crew
from consent_mw.sidecar.reloading import Reloading
from consent_mw.wire.request_head import Refusal, RequestHead, read_head
from consent_mw.world.metrics import exposition

LARGEST_BODY = 4096
ASKS_WITHIN = 10.0
ANSWERS_WITHIN = 60.0
"""Bytes of a request's body; seconds for a whole request, and for its answer (a reload by every worker included)."""

EXPLAIN = b"/explain/"
"""Where it is told what was decided about a request; its id follows."""

Answer = tuple[int, bytes, bytes]


class Admin:
    """Answers on the admin port, for all processes."""

    def __init__(self, crew: Crew, reloading: Reloading, token: str = "", *, log: bool = True) -> None:
        """`log`: there is an access log, whose lines give requests their ids."""
        self._crew = crew
        self._reloading = reloading
        self._token = token
        self._log = log

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        try:
            async with asyncio.timeout(ASKS_WITHIN):
                asked = await _read(reader)
            async with asyncio.timeout(ANSWERS_WITHIN):
                status, kind, body = asked if len(asked) == 3 else await self.answer(*asked)
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

    async def answer(self, head: RequestHead, body: bytes) -> Answer:
        """The status, media type and body for this request."""
        path = head.target.partition(b"?")[0]
        if path != b"/ping" and not self._allowed(head):
            return _told(401, {"error": "the token is missing or wrong"})
        match head.method, path:
            case b"GET", b"/ping":
                return 200, b"text/plain", b"pong\n"
            case b"GET", b"/ready":
                return self._ready()
            case b"GET", b"/metrics":
                return 200, b"text/plain; version=0.0.4; charset=utf-8", await self._metrics()
            case b"GET", b"/policy":
                return _told(200, self._policy())
            case b"GET", b"/inventory":
                return await self._inventory()
            case b"POST", b"/reload":
                return await self._reloaded()
            case b"POST", b"/bypass":
                return await self._bypass(body)
            case b"GET", _ if path.startswith(EXPLAIN):
                return await self._explain(path[len(EXPLAIN) :].decode("latin-1"), head)
            case _, _ if path.startswith(EXPLAIN):
                return _told(405, {"error": "this is not asked for that way"})
            case _, b"/ping" | b"/ready" | b"/metrics" | b"/policy" | b"/inventory" | b"/reload" | b"/bypass":
                return _told(405, {"error": "this is not asked for that way"})
        return _told(404, {"error": "there is no such page"})

    def _allowed(self, head: RequestHead) -> bool:
        if not self._token:
            # A web page can reach loopback, but a browser's POST always says its Origin (Fetch 3.2).
            return not any(name.lower() == b"origin" for name, _ in head.headers)
        said = [value for name, value in head.headers if name.lower() == b"authorization"]
        return len(said) == 1 and hmac.compare_digest(said[0], b"Bearer " + self._token.encode())

    def _ready(self) -> Answer:
        crew, members = self._crew, self._crew.members()
        loaded: dict[str, object] = {
            "policy": self._reloading.configuration.policy.revision,
            "databases": crew.databases_sound,
            "keys": True,
            "store": crew.store_healthy,
            "draining": crew.draining,
            "bypassed": crew.bypassed,
        }
        if members:
            loaded["workers"] = {"ready": sum(one["ready"] is True for one in members), "of": len(members)}
        return _told(200 if crew.ready else 503, loaded)

    async def _metrics(self) -> bytes:
        crew, reloading = self._crew, self._reloading
        totals, now = await crew.counted()
        totals |= {"reload_done": reloading.done, "reload_failed": reloading.failed}
        now |= {"ready": crew.ready, "bypassed": crew.bypassed, "store_healthy": crew.store_healthy}
        policy = reloading.configuration.policy
        return exposition(totals, now, {"revision": policy.revision, "digest": policy.digest}, crew.ledger_head)

    def _policy(self) -> dict[str, object]:
        policy, members = self._reloading.configuration.policy, self._crew.members()
        named = {"revision": policy.revision, "digest": policy.digest, "file": policy.file}
        told: dict[str, object] = {**named, "mode": policy.mode.value, "bypassed": self._crew.bypassed}
        return {**told, "workers": members} if members else told

    async def _inventory(self) -> Answer:
        try:
            found = totals(await self._crew.inventory())
        except StoreError as error:
            return _told(503, {"error": str(error)})
        rows = [{"kind": one.sort, "name": one.name, "fate": one.fate, "count": one.number} for one in found]
        return _told(200, {"inventory": rows})

    async def _explain(self, request: str, head: RequestHead) -> Answer:
        try:
            told = await self._crew.explain(request)
        except TimeoutError:
            return _told(503, {"error": "a worker does not answer; please ask again"})
        if told is None:
            return _told(404, {"error": self._unknown})
        lines, values = told
        decided, policy = values.get("policy"), self._reloading.configuration.policy
        if decided not in (None, policy.digest):
            lines = [*lines, "", f"This was decided by policy {decided}, which is not in force any more."]
        if any(name.lower() == b"accept" and b"json" in value.lower() for name, value in head.headers):
            return _told(200, values)
        return 200, b"text/plain; charset=utf-8", "\n".join([*lines, ""]).encode()

    @property
    def _unknown(self) -> str:
        if not self._log:
            return "no request has an id here, since the access log is off"
        return (
            "no request of this id is remembered: it is that of a line of the access log, of one of the last requests"
        )

    async def _reloaded(self) -> Answer:
        try:
            await self._reloading.reload()
        except (ConsentError, OSError) as error:
            return _told(409, {"error": "not reloaded, what was in force stays so", "problems": str(error)})
        return _told(200, self._policy())

    async def _bypass(self, body: bytes) -> Answer:
        try:
            asked = json.loads(body or b'{"on": true}')
        except (ValueError, RecursionError):
            asked = None
        if not isinstance(asked, dict) or not isinstance(asked.get("on"), bool):
            return _told(400, {"error": 'the body must be {"on": true} or {"on": false}'})
        await self._crew.bypass(asked["on"])
        return _told(200, {"bypassed": asked["on"]})


async def _read(reader: asyncio.StreamReader) -> Answer | tuple[RequestHead, bytes]:
    """The request, or the answer to one that is none."""
    head = read_head(await reader.readuntil(b"\r\n\r\n"))
    if isinstance(head, Refusal):
        return _told(head.status, {"error": head.sentence})
    if head.length is None or head.length > LARGEST_BODY:
        return _told(413, {"error": "the body is too large"})
    return head, await reader.readexactly(head.length)


def _told(status: int, content: dict[str, object]) -> Answer:
    return status, b"application/json", json.dumps(content).encode() + b"\n"
