"""The relay: one request and its answer, between a browser's connection and the upstream (or our own routes).

Rule: the gate decides, this moves bytes; framing is ours on both sides.
Rule: an answer that breaks off is broken off for the browser too, never ended as if whole.
Rule: a request is sent again only if nothing of it can have been acted on (RFC 9110 9.2.2).
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from consent_mw.asgi.exchange import Editor, Exchange
from consent_mw.asgi.ruleset import Route
from consent_mw.sidecar.bridge import Bridge
from consent_mw.sidecar.forwarding import Headers, loops, nominated, render, towards_browser, towards_upstream
from consent_mw.wire.request_head import RequestHead
from consent_mw.world.upstream import Connection, UpstreamAnswer

if TYPE_CHECKING:
    from consent_mw.sidecar.downstream import Client

FIRST_BYTE_WITHIN = 60.0
ANSWER_IDLE = 300.0
TUNNEL_IDLE = 3600.0
"""Seconds: for the upstream to answer; between parts of an answer; between bytes of a tunnel."""

_REPEATABLE = frozenset({b"GET", b"HEAD", b"OPTIONS"})
_HELD_BACK = 262_144


class Relay:
    """One request on its way."""

    def __init__(self, client: Client, head: RequestHead) -> None:
        self.opened = False
        self._client = client
        self._plane = client.plane
        self._head = head
        self._exchange: Exchange | None = None
        self._connection: Connection | None = None
        self._bridge: Bridge | None = None
        self._task: asyncio.Task[None] | None = None
        self._waiting: list[bytes] = []
        self._whole = False
        self._retried = False
        self._rendered = b""
        self._again = False
        self._chunked = False
        self._bodiless = False
        self._tunnel = False
        self._editor: Editor | None = None
        self._held: list[bytes] | None = None
        self._ending: bool | None = None
        self._status = 0
        self._sent = 0
        self._started = asyncio.get_running_loop().time()

    # the request

    def begin(self) -> None:
        """Ask the gate, then send the request where it goes."""
        head, client, gate = self._head, self._client, self._plane.gate
        if loops(head.headers):
            self._say(508, "this request has been through here already")
            return
        exchange = gate.admit(head.method, head.target, list(head.headers), client.peer, secure=False)
        self._exchange = exchange
        if exchange.route is Route.OURS:
            if head.continues and head.length != 0:
                client.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._bridge = Bridge(gate.app, self)
            self._bridge.begin(head, exchange, client.peer, secure=False)
            return
        sent = towards_upstream(
            exchange.request_headers, head, nominated(head.headers), client.peer, gate.rules.trust, secure=False
        )
        self._rendered = render(head.method + b" " + head.target + b" HTTP/1.1", sent)
        self._send()

    def _send(self) -> None:
        connection = None if self._retried else self._plane.pool.take()
        if connection is not None:
            self._start_on(connection)
            return
        self._client.pause("upstream", True)
        self._task = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        try:
            connection = await self._plane.pool.connect()
        except TimeoutError:
            self._plane.meters.upstream_failed += 1
            self._say(504, "the site did not take the connection in time")
            return
        except OSError:
            self._plane.meters.upstream_failed += 1
            self._say(502, "the site behind this proxy cannot be reached")
            return
        self._task = None
        self._start_on(connection)
        self._client.pause("upstream", False)

    def _start_on(self, connection: Connection) -> None:
        self._connection = connection
        connection.begin(self, self._rendered, bodiless=self._head.method == b"HEAD")
        for chunk in self._waiting:
            connection.write(chunk)
        self._waiting.clear()
        if self._whole:
            self._sent_whole(connection)

    def feed(self, chunk: bytes) -> None:
        """A part of the request's body."""
        if self._bridge is not None:
            self._bridge.feed(chunk)
            return
        framed = b"%x\r\n%b\r\n" % (len(chunk), chunk) if self._head.length is None else chunk
        if self._connection is not None:
            self._connection.write(framed)
        elif self._task is not None:
            self._waiting.append(framed)

    def feed_end(self) -> None:
        """The request is whole."""
        self._whole = True
        if self._bridge is not None:
            self._bridge.finish()
            if not self.opened:
                self._client.wait(FIRST_BYTE_WITHIN)
            return
        if self._head.length is None:
            if self._connection is not None:
                self._connection.write(b"0\r\n\r\n")
            else:
                self._waiting.append(b"0\r\n\r\n")
        if self._connection is not None:
            self._sent_whole(self._connection)

    def _sent_whole(self, connection: Connection) -> None:
        connection.finish_request()
        if not self.opened:
            self._client.wait(FIRST_BYTE_WITHIN)

    def forward_raw(self, data: bytes) -> None:
        """Bytes of a tunnel."""
        self._client.wait(TUNNEL_IDLE)
        if self._connection is not None:
            self._connection.write(data)

    def hold(self, paused: bool) -> None:
        """The browser takes no more for now, or again."""
        if self._connection is not None and self._held is None:
            self._connection.pause(paused)

    def cancel(self) -> None:
        """The browser is gone, or was refused: break off what is under way."""
        if self._task is not None:
            self._task.cancel()
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._bridge is not None:
            self._bridge.cancel()
        self._note()

    def expire(self) -> None:
        """Nothing happened for too long."""
        if self.opened:
            self.cancel()
            self._client.abort()
            return
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        if self._bridge is not None:
            self._bridge.cancel()
        self._plane.meters.upstream_failed += 1
        self._say(504, "the site behind this proxy did not answer in time")

    # the upstream's answer

    def upstream_informs(self, status: int, reason: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        """An interim response is handed on to whoever understands it."""
        if not self._head.http10 and not self.opened:
            self._client.write(render(_status_line(status, reason), towards_browser(headers)))

    def upstream_answers(self, answer: UpstreamAnswer) -> None:
        """The head of the answer goes through the gate and out."""
        headers = towards_browser(answer.headers)
        if answer.status == 101:
            if not self._head.upgrade:
                self._break_off("the site switched protocols unasked")
                return
            asked = [value for name, value in answer.headers if name.lower() == b"upgrade"]
            self._tunnel = True
            headers += [(b"Connection", b"Upgrade"), *((b"Upgrade", value) for value in asked)]
        self._respond(answer.status, answer.reason, headers)

    def upstream_sends(self, chunk: bytes) -> None:
        """A part of the answer."""
        self._client.wait(TUNNEL_IDLE if self._tunnel else ANSWER_IDLE)
        if self._held is None:
            self._emit(chunk)
            return
        self._held.append(chunk)

    def upstream_ends(self) -> None:
        """The answer is whole."""
        self._connection = None
        self._finish(True)

    def upstream_fails(self, reason: str, *, answered: bool) -> None:
        """The answer will never be whole: asked again where that is harmless, else told or broken off."""
        connection, self._connection = self._connection, None
        if connection is not None and connection.reused and not connection.heard and not self._retried:
            if self._head.method in _REPEATABLE and self._head.length == 0:
                self._retried = True
                self._send()
                return
        self._plane.meters.upstream_failed += 1
        if not self.opened and self._held is None:
            self._say(502, f"{reason.replace('upstream', 'site')} before it answered")
            return
        self._finish(False)

    def upstream_pauses(self, paused: bool) -> None:
        """The upstream takes no more of the request for now, or again."""
        self._client.pause("upstream", paused)

    def _break_off(self, sentence: str) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        self._say(502, sentence)

    # our own routes' answer

    def app_starts(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """The head of the answer."""
        self._open(status, _phrase(status), headers, None)

    def app_sends(self, chunk: bytes) -> None:
        """A part of its body."""
        self._emit(chunk)

    def app_ends(self) -> None:
        """The answer is whole."""
        self._finish(True)

    # out

    def _respond(self, status: int, reason: bytes, headers: Headers) -> None:
        exchange = self._exchange
        if exchange is None or exchange.route is not Route.FORWARD:
            self._open(status, reason, headers, None)
            return
        reply = exchange.respond(status, headers)
        if reply.pending is None:
            self._open(status, reason, reply.headers, reply.editor)
            return
        self._held = []
        if self._connection is not None and not self._tunnel:
            self._connection.pause(True)
        release = self._release(reply.pending, status, reason, reply.headers, reply.editor)
        self._task = asyncio.get_running_loop().create_task(release)

    async def _release(
        self, pending: Future[Any], status: int, reason: bytes, headers: Headers, editor: Editor | None
    ) -> None:
        """Send what was held until what must be done first is done."""
        await self._plane.gate.settled(pending)
        self._task = None
        held, self._held = self._held or [], None
        self._open(status, reason, headers, editor)
        for chunk in held:
            self._emit(chunk)
        if self._ending is not None:
            self._finish(self._ending)
        elif self._connection is not None:
            self._connection.pause(False)

    def _open(self, status: int, reason: bytes, headers: Headers, editor: Editor | None) -> None:
        head = self._head
        self.opened = True
        self._status = status
        self._editor = editor
        self._bodiless = head.method == b"HEAD" or status in (204, 304)
        framed = any(name.lower() == b"content-length" for name, _ in headers)
        out = [pair for pair in headers if pair[0].lower() != b"content-length" or (status not in (101, 204))]
        if self._tunnel:
            self._client.write(render(_status_line(status, reason), out))
            self._client.wait(TUNNEL_IDLE)
            self.forward_raw(self._client.begin_tunnel())
            return
        unframed = not framed and not self._bodiless
        self._chunked = unframed and not head.http10
        # A body that only the end of the connection ends leaves no room for another request.
        self._again = head.keep_alive and self._whole and not self._plane.draining and (not unframed or self._chunked)
        if self._chunked:
            out.append((b"Transfer-Encoding", b"chunked"))
        if not self._again:
            out.append((b"Connection", b"close"))
        elif head.http10:
            out.append((b"Connection", b"keep-alive"))
        self._client.write(render(_status_line(status, reason), out))
        self._client.wait(ANSWER_IDLE)

    def _emit(self, chunk: bytes) -> None:
        if self._editor is not None:
            chunk = self._editor.feed(chunk)
        self._write(chunk)

    def _write(self, chunk: bytes) -> None:
        if not chunk or self._bodiless:
            return
        self._sent += len(chunk)
        self._client.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if self._chunked else chunk)

    def _finish(self, whole: bool) -> None:
        if self._held is not None:
            self._ending = whole
            return
        self._note()
        if not whole:
            self._client.abort()
            return
        if self._editor is not None:
            self._write(self._editor.finish())
        if self._chunked:
            self._client.write(b"0\r\n\r\n")
        self._client.relayed(again=self._again and not self._tunnel)

    def _say(self, status: int, sentence: str) -> None:
        """An answer of our own, because there is no other."""
        text = sentence.encode() + b"\n"
        plain = [(b"Content-Type", b"text/plain; charset=utf-8"), (b"Content-Length", b"%d" % len(text))]
        self._task = None
        self._editor = None
        self._tunnel = False
        self._open(status, _phrase(status), [*plain, (b"Cache-Control", b"no-store")], None)
        self._write(text)
        self._finish(True)

    def _note(self) -> None:
        """Count this request and log it, once."""
        if self._exchange is None and not self.opened:
            return
        meters = self._plane.meters
        meters.answered[self._status // 100] += 1
        meters.bytes_out += self._sent
        decision = self._exchange.decision if self._exchange is not None else None
        self._plane.log.write(
            method=self._head.method,
            target=self._head.target,
            status=self._status,
            seconds=asyncio.get_running_loop().time() - self._started,
            sent=self._sent,
            jurisdiction=decision.jurisdiction.name if decision is not None else "",
        )


def _status_line(status: int, reason: bytes) -> bytes:
    return b"HTTP/1.1 %d %b" % (status, reason)


def _phrase(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""
