"""One turn: one request forwarded and its response brought back, or answered by us.

Rule: a turn is begun, hears the request's body, and ends exactly once: whole, refused, or broken off.
Rule: a request goes out a second time only if nothing was heard, it has no body, and its method is idempotent.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from consent_mw.asgi.exchange import Editor, Exchange
from consent_mw.asgi.ruleset import Route
from consent_mw.sidecar.answers import REASONS
from consent_mw.sidecar.bridge import Bridge
from consent_mw.sidecar.forwarding import VIA, loops, nominated, render, towards_browser, towards_upstream
from consent_mw.wire.request_head import Refusal, RequestHead
from consent_mw.world.upstream import Connection, UpstreamAnswer

if TYPE_CHECKING:
    from consent_mw.sidecar.client import Client

IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"})
HELD_AT_MOST = 262_144
"""Bytes of a request body that wait for a connection to the upstream."""

DEAD = "the site cannot be reached right now; please try again in a moment"


class Turn:
    """See the module. Hears the browser's side through methods, the upstream's as its Listener."""

    def __init__(self, client: Client, head: RequestHead) -> None:
        self.client = client
        self.head = head
        self.asked = False
        self.started = False
        self.waiting_since = client.plane.now()
        self.tunnel = False
        self._began = time.perf_counter()
        self._exchange: Exchange | None = None
        self._bridge: Bridge | None = None
        self._connection: Connection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._request = b""
        self._unsent = bytearray()
        self._retried = False
        self._over = False
        self._editor: Editor | None = None
        self._chunked = False
        self._bodiless = False
        self._keep = head.keep_alive
        self._held: list[bytes] | None = None
        self._ended_while_held = False
        self._holding: asyncio.Task[None] | None = None
        self._status = 0
        self._sent = 0

    # the browser's side

    def begin(self) -> None:
        """Decide about the request and send it where it goes."""
        client, head, plane = self.client, self.head, self.client.plane
        if loops(head.headers):
            client.refuse(Refusal(508, "this request goes round in a circle"))
            return
        exchange = plane.gate.admit(head.method, head.target, head.headers, client.peer, secure=plane.secure)
        self._exchange = exchange
        plane.count("requests")
        if exchange.route is Route.OURS:
            self._bridge = Bridge(plane.gate.app, self)
            if head.continues:
                client.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._bridge.begin(head, exchange, client.peer, secure=plane.secure)
            return
        trust = exchange.rules.trust
        headers = towards_upstream(
            exchange.request_headers, head, nominated(head.headers), client.peer, trust, secure=plane.secure
        )
        self._request = render(b"%s %s HTTP/1.1" % (head.method, head.target), headers)
        self._send_on(plane.pool.take())

    def body(self, chunk: bytes) -> None:
        """A part of the request body (of the raw stream, in a tunnel)."""
        if not chunk or self._over:
            return
        self.waiting_since = self.client.plane.now()
        if self._bridge is not None:
            self._bridge.feed(chunk)
            return
        if self.head.length is None and not self.tunnel:
            chunk = b"%x\r\n%s\r\n" % (len(chunk), chunk)
        self._write_on(chunk)

    def finish_body(self) -> None:
        """The request is whole."""
        if self.asked or self._over:
            return
        self.asked = True
        self.waiting_since = self.client.plane.now()
        if self._bridge is not None:
            self._bridge.finish()
        elif self.head.length is None:
            self._write_on(b"0\r\n\r\n")

    def pause_answer(self, paused: bool) -> None:
        """The browser takes no more for now, or does again."""
        if self._connection is not None:
            self._connection.pause(paused)

    def abandon(self) -> None:
        """Nobody waits for the answer any more."""
        if self._over:
            return
        self._over = True
        self._drop_tasks()
        if self._bridge is not None:
            self._bridge.cancel()
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._log("abandoned")

    def expire(self) -> None:
        """The upstream has let us wait for too long."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self.started:
            self._break_off()
        else:
            self._refuse(504, "the site took too long to answer; please try again")

    # towards the upstream

    def _send_on(self, connection: Connection | None) -> None:
        if connection is None:
            self._connecting = asyncio.get_running_loop().create_task(self._connect())
            return
        self._connection = connection
        connection.begin(self, self._request, bodiless=self.head.method == b"HEAD")
        if self._unsent:
            connection.write(bytes(self._unsent))
            self._unsent.clear()
        self.client.deafen("connecting", False)

    async def _connect(self) -> None:
        try:
            connection = await self.client.plane.pool.connect()
        except (OSError, TimeoutError):
            if not self._over:
                self.client.plane.count("upstream_unreachable")
                self._refuse(502, DEAD)
            return
        self._connecting = None
        if self._over:
            connection.close()
            return
        self._send_on(connection)

    def _write_on(self, data: bytes) -> None:
        if self._connection is not None:
            self._connection.write(data)
            return
        self._unsent += data
        if len(self._unsent) > HELD_AT_MOST:
            self.client.deafen("connecting", True)

    # Listener

    def upstream_informs(self, status: int, reason: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        """Pass an interim response on; an HTTP/1.0 client knows none (RFC 9110 15.2)."""
        if self.head.http10 or self._over or self.started or (status == 100 and not self.head.continues):
            return
        # Hints name what a page will load, before the decision about that page; they are for later.
        if status == 100:
            self.client.write(render(b"HTTP/1.1 100 " + (reason or b"Continue"), []))

    def upstream_answers(self, answer: UpstreamAnswer) -> None:
        """Begin the answer to the browser."""
        exchange = self._exchange
        if self._over or exchange is None:
            return
        if answer.status == 101 and not self.head.upgrade:
            self._fail_upstream()
            return
        headers = towards_browser(answer.headers)
        length = any(name.lower() == b"content-length" for name, _ in headers)
        pending: Future[Any] | None = None
        if exchange.route is Route.FORWARD:
            reply = exchange.respond(answer.status, headers)
            headers, self._editor, pending = reply.headers, reply.editor, reply.pending
        if answer.status == 101:
            headers += [(b"Connection", b"Upgrade"), *[p for p in answer.headers if p[0].lower() == b"upgrade"]]
        if pending is not None:
            self._hold(pending)
        self._start(answer.status, answer.reason, headers, length and self._editor is None, answer.bodiless)
        if answer.status == 101:
            self.tunnel = True
            self.client.become_tunnel()

    def upstream_sends(self, chunk: bytes) -> None:
        """Pass a part of the body on."""
        if self._over:
            return
        self.waiting_since = self.client.plane.now()
        if self._editor is not None:
            chunk = self._editor.feed(chunk)
        self._emit(chunk)

    def upstream_ends(self) -> None:
        """The upstream's response is whole."""
        self._connection = None
        self._finish()

    def upstream_fails(self, reason: str, *, answered: bool) -> None:
        """The upstream's response will never be whole."""
        connection, self._connection = self._connection, None
        if self._over:
            return
        self.client.plane.count("upstream_failed")
        if self.started:
            self._break_off()
            return
        stale = connection is not None and connection.reused and not connection.heard
        if stale and not self._retried and self.head.length == 0 and self.head.method in IDEMPOTENT:
            self._retried = True
            self._send_on(None)
            return
        self._refuse(502, DEAD if not answered else "the site's answer cannot be passed on safely")

    def upstream_pauses(self, paused: bool) -> None:
        """The upstream takes no more of the request for now, or does again."""
        self.client.deafen("upstream", paused)

    # Answering (the bridge's side)

    def app_starts(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Begin the answer of a visitor's route."""
        if not self._over:
            length = any(name.lower() == b"content-length" for name, _ in headers)
            bodiless = self.head.method == b"HEAD" or status in (204, 304)
            self._start(status, b"", headers, length, bodiless)

    def app_sends(self, chunk: bytes) -> None:
        """A part of its body."""
        if not self._over and not self._bodiless:
            self._emit(chunk)

    def app_ends(self) -> None:
        """It is whole."""
        self._bridge = None
        self._finish()

    # towards the browser

    def _start(
        self, status: int, reason: bytes, headers: list[tuple[bytes, bytes]], length: bool, bodiless: bool
    ) -> None:
        self.started = True
        self._status = status
        self._bodiless = bodiless
        framed = length or bodiless or status == 101
        self._chunked = not framed and not self.head.http10
        self._keep = self._keep and (framed or self._chunked) and status != 101
        sent = list(headers)
        if self._exchange is not None and self._exchange.route is not Route.OURS:
            sent.append((b"Via", VIA))
        if self._chunked:
            sent.append((b"Transfer-Encoding", b"chunked"))
        if not self._will_keep() and status != 101:
            sent.append((b"Connection", b"close"))
        elif self.head.http10:
            sent.append((b"Connection", b"keep-alive"))
        self._out(render(b"HTTP/1.1 %d %s" % (status, reason or REASONS.get(status, b"")), sent))

    def _will_keep(self) -> bool:
        # An answer that comes before the request is whole leaves bytes nobody will read as a request.
        return self._keep and self.asked and not self.client.plane.draining

    def _emit(self, chunk: bytes) -> None:
        if not chunk or self._bodiless:
            return
        self._sent += len(chunk)
        self._out(b"%x\r\n%s\r\n" % (len(chunk), chunk) if self._chunked else chunk)

    def _out(self, data: bytes) -> None:
        if self._held is not None:
            self._held.append(data)
        else:
            self.client.write(data)

    def _finish(self) -> None:
        if self._over:
            return
        if self._editor is not None:
            editor, self._editor = self._editor, None
            self._emit(editor.finish())
        if self._chunked and not self._bodiless:
            self._out(b"0\r\n\r\n")
        if self._held is not None:
            self._ended_while_held = True
            return
        self._over = True
        self._log("done")
        keep = self._keep and self.asked and not self.tunnel
        if not self.asked and self._connection is not None:
            self._connection.close()
        self.client.turn_over(keep=keep)

    def _hold(self, pending: Future[Any]) -> None:
        """Send nothing until what must come first is done; the head written so far is held as well."""
        self._held = []
        self._holding = asyncio.get_running_loop().create_task(self._release(pending))

    async def _release(self, pending: Future[Any]) -> None:
        await self.client.plane.gate.settled(pending)
        held, self._held = self._held or [], None
        for data in held:
            self.client.write(data)
        if self._ended_while_held:
            self._finish_held()

    def _finish_held(self) -> None:
        self._over = True
        self._log("done")
        self.client.turn_over(keep=self._keep and self.asked and not self.tunnel)

    def _break_off(self) -> None:
        self._over = True
        self._drop_tasks()
        self._log("broken-off")
        self.client.turn = None
        self.client.break_off()

    def _refuse(self, status: int, sentence: str) -> None:
        self._status = status
        self._over = True
        self._drop_tasks()
        self._log("refused")
        self.client.refuse(Refusal(status, sentence))

    def _fail_upstream(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._refuse(502, "the site's answer cannot be passed on safely")

    def _drop_tasks(self) -> None:
        for task in (self._connecting, self._holding):
            if task is not None and task is not _current():
                task.cancel()

    def _log(self, ended: str) -> None:
        decision = self._exchange.decision if self._exchange is not None else None
        self.client.plane.log(
            {
                "method": self.head.method.decode("ascii"),
                "path": self.head.target.partition(b"?")[0].decode("ascii", "replace"),
                "status": self._status,
                "ms": round((time.perf_counter() - self._began) * 1000, 2),
                "bytes": self._sent,
                "jurisdiction": decision.jurisdiction.name if decision is not None else None,
                "ended": ended,
            }
        )


def _current() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
