"""The relay: one request and its answer, between a browser's connection and the upstream (or our own routes).

Rule: the gate decides, this moves bytes; framing is ours on both sides.
Rule: an answer that breaks off is broken off for the browser too, never ended as if whole.
Rule: a request is sent again only if nothing of it can have been acted on (RFC 9110 9.2.2).
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from consent_mw.asgi.exchange import Exchange, Reply
from consent_mw.asgi.observe import Observation
from consent_mw.asgi.ruleset import Route
from consent_mw.errors import SpoiltBodyError
from consent_mw.sidecar.bridge import Bridge
from consent_mw.sidecar.forwarding import for_this_hop, forwarded, interim, loops
from consent_mw.sidecar.outlet import phrase
from consent_mw.sidecar.plane import Downlink
from consent_mw.sidecar.tunnel import Tunnel
from consent_mw.wire.fields import (
    HOP_BY_HOP,
    Fields,
    read_request_fields,
    read_response_fields,
    request_field,
    response_field,
)
from consent_mw.wire.request_head import RequestHead
from consent_mw.wire.response_head import ResponseHead
from consent_mw.wire.trailers import last_chunk, passable
from consent_mw.world.upstream import CONNECT_WITHIN, Connection

FIRST_BYTE_WITHIN = 60.0
ANSWER_IDLE = 300.0
TUNNEL_IDLE = 3600.0
"""Seconds: for the upstream to answer; between parts of an answer; between bytes of a tunnel."""

METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
_NOTHING: frozenset[str] = frozenset()
_REPEATABLE = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"})

log = logging.getLogger("consent_mw.sidecar")


class Relay:
    """One request on its way. Hears the browser's side from its Downlink, the answer from upstream or Bridge."""

    _exchange: Exchange | None = None
    _connection: Connection | None = None
    _bridge: Bridge | None = None
    _task: asyncio.Task[None] | None = None
    _rendered = b""
    _unsent: list[bytes] | None = None
    _whole = False
    _retried = False
    _tunnel: Tunnel | None = None
    _stalled_by: frozenset[str] = frozenset()
    _held: list[bytes] | None = None
    _ending: bool | None = None
    _trailers: Fields = []  # noqa: RUF012  replaced, never changed
    _noted = False

    def __init__(self, client: Downlink, head: RequestHead, target: bytes = b"") -> None:
        self._client = client
        self._plane = client.plane
        self._head = head
        self._target = target or head.target
        self._outlet = client.outlet(head)
        self._started = time.perf_counter()

    @property
    def opened(self) -> bool:
        """Whether the head of an answer is out, or about to go."""
        return self._outlet.opened or self._held is not None

    # the request

    def begin(self) -> None:
        """Ask the gate, then send the request where it goes."""
        head, client, gate = self._head, self._client, self._plane.gate
        if loops(head.seen, head.repeated):
            self._say(508, "this request has been through here already")
            return
        if head.method == b"OPTIONS" and b"max-forwards" in head.seen and self._goes_no_further():
            return
        try:
            exchange = gate.decide(Observation(head.method, head.target, head.seen, head.repeated), client.peer)
            self._exchange = exchange
            if exchange.route is Route.OURS:
                self._bridge_to(exchange)
                return
            trusted = exchange.rules.trusts(client.peer)
            named = self._plane.pool.upstream.authority
            self._rendered = forwarded(head, exchange, client.peer, named, trusted=trusted, secure=client.secure)
        except Exception:
            log.exception("the gate failed on a request")
            self._say(500, "this request cannot be decided about")
            return
        self._send()

    def begin_admitted(self, exchange: Exchange, rendered: bytes) -> None:
        """Send a request on about which nothing is to be asked again."""
        self._whole = True
        self._exchange = exchange
        self._rendered = rendered
        self._send()

    def take_over(self, exchange: Exchange, rendered: bytes, connection: Connection | None, started: float) -> None:
        """Go on with a request that this connection was sent; None where it is done with it."""
        self._whole = True
        self._exchange = exchange
        self._rendered = rendered
        self._connection = connection
        self._started = started
        if connection is not None:
            connection.hand_over(self)

    def _bridge_to(self, exchange: Exchange) -> None:
        head, client = self._head, self._client
        if head.continues and head.length != 0:
            self._outlet.inform(100, phrase(100), [])
        self._bridge = Bridge(self._plane.gate.app, self)
        self._bridge.begin(head, exchange, client.peer, secure=client.secure)
        if self._whole:
            self._bridge.finish()

    def _goes_no_further(self) -> bool:
        """Answer for ourselves where nobody else shall; else count this hop (RFC 9110 7.6.2)."""
        head = self._head
        said = head.seen[b"max-forwards"]
        if not said.isdigit() or len(said) > 9:
            return False
        if int(said) == 0:
            self._say(200, "this proxy forwards what is asked of it", (b"Allow", METHODS))
            return True
        counted = b"%d" % (int(said) - 1)
        head.fields = [
            request_field(line[: len(lower)], counted) if lower == b"max-forwards" else (lower, value, line, level)
            for lower, value, line, level in head.fields
        ]
        return False

    def _send(self) -> None:
        connection = None if self._retried else self._plane.pool.take()
        if connection is not None:
            self._start_on(connection)
            return
        self._client.pause("upstream", True)
        # What a browser has left of its own time (for a head, between requests) is not the site's.
        self._client.wait(CONNECT_WITHIN + FIRST_BYTE_WITHIN)
        self._task = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        try:
            connection = await self._plane.pool.connect()
        except (OSError, UnicodeError) as error:
            self._task = None
            self._plane.meters.upstream_failed += 1
            if isinstance(error, TimeoutError):
                self._say(504, "the site behind this proxy did not take the connection in time")
            elif isinstance(error, ssl.SSLError):
                log.warning("the upstream's TLS is not trusted: %s", error.reason or error)
                self._say(502, "the site behind this proxy cannot be reached: its certificate is not trusted")
            else:
                self._say(502, "the site behind this proxy cannot be reached")
            return
        self._task = None
        # In this order: what is sent may pause the browser for a reason of its own.
        self._client.pause("upstream", False)
        self._start_on(connection)

    def _start_on(self, connection: Connection) -> None:
        self._connection = connection
        connection.begin(self, self._rendered, bodiless=self._head.method == b"HEAD")
        for chunk in self._unsent or ():
            connection.write(chunk)
        self._unsent = None
        self._stalled_by = _NOTHING
        if self._client.stalled:
            self.stall("browser", True)
        if self._whole:
            self._sent_whole(connection)

    def feed(self, chunk: bytes) -> None:
        """A part of the request's body."""
        if self._bridge is not None:
            self._bridge.feed(chunk)
            return
        self._pass_on(b"%x\r\n%b\r\n" % (len(chunk), chunk) if self._head.length is None else chunk)

    def feed_end(self, trailers: Sequence[bytes] = ()) -> None:
        """The request is whole; the lines of its trailers."""
        self._whole = True
        if self._bridge is not None:
            self._bridge.finish()
            if not self.opened:
                self._client.wait(FIRST_BYTE_WITHIN)
            return
        if self._head.length is None:
            self._pass_on(last_chunk(passable(read_request_fields(list(trailers)))))
        if self._connection is not None:
            self._sent_whole(self._connection)

    def _pass_on(self, data: bytes) -> None:
        if self._connection is not None:
            self._connection.write(data)
        elif self._task is not None and not self.opened:
            if self._unsent is None:
                self._unsent = []
            self._unsent.append(data)

    def _sent_whole(self, connection: Connection) -> None:
        connection.finish_request()
        if not self.opened:
            self._client.wait(FIRST_BYTE_WITHIN)

    def forward_raw(self, data: bytes) -> None:
        """Bytes of a tunnel."""
        self._client.wait(TUNNEL_IDLE)
        if self._connection is not None:
            self._connection.write(data)

    def leave(self) -> None:
        """The process goes away: a WebSocket is told so; whatever else is under way may end by itself."""
        if self._tunnel is not None and self._held is None:
            self._outlet.send(self._tunnel.leave())

    def stall(self, why: str, stalled: bool) -> None:
        """Take no more of the answer for this reason, or no longer for it."""
        before = bool(self._stalled_by)
        self._stalled_by = self._stalled_by | {why} if stalled else self._stalled_by - {why}
        if self._connection is not None and before != bool(self._stalled_by):
            self._connection.pause(bool(self._stalled_by))

    def cancel(self) -> None:
        """The browser is gone, or was refused: break off what is under way."""
        if self._task is not None:
            self._task.cancel()
        self._drop_source()
        self._note()

    def expire(self) -> None:
        """Nothing happened for too long."""
        if self.opened:
            self.cancel()
            self._outlet.break_off()
            return
        if self._task is not None:
            self._task.cancel()
        self._drop_source()
        self._plane.meters.upstream_failed += 1
        self._say(504, "the site behind this proxy did not answer in time")

    def _drop_source(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close(flush=self._tunnel is not None)
        if self._bridge is not None:
            self._bridge.cancel()

    # the upstream's answer

    def upstream_informs(self, answer: ResponseHead) -> None:
        """An interim answer is handed on."""
        fields = interim(answer.fields)
        if self._exchange is not None:
            fields = self._exchange.hints(fields)
        self._outlet.inform(answer.status, answer.reason, fields)

    def upstream_answers(self, answer: ResponseHead, body: bytes | None = None) -> None:
        """The head of the answer goes through the gate and out. `body`: the whole of it, where it is there."""
        exchange = self._exchange
        if exchange is None or (answer.status == 101 and not self._head.upgrade):
            self.refuse_answer("it switched protocols unasked")
            return
        try:
            hop = for_this_hop(answer.seen, answer.repeated)
            if hop is not HOP_BY_HOP:
                kept = [field for field in answer.fields if field[0] not in hop]
                answer = replace(answer, fields=kept, replies=None)
            reply = exchange.respond(answer, HOP_BY_HOP, body)
        except Exception:
            log.exception("the gate failed on an answer")
            self.refuse_answer("it cannot be decided about")
            return
        if answer.status == 101:
            self._tunnel = Tunnel(answer.all(b"upgrade"))
        if reply.pending is None:
            self._open(answer, reply)
            return
        self._held = []
        self._client.wait(FIRST_BYTE_WITHIN)
        self.stall("held", True)
        release = self._release(reply.pending, answer, reply)
        self._task = asyncio.get_running_loop().create_task(release)

    def upstream_whole(self, answer: ResponseHead, body: bytes) -> None:
        """The whole answer in one piece."""
        self._connection = None
        try:
            reply = None if self._exchange is None else self._exchange.respond_again(answer, body)
        except Exception:
            log.exception("the gate failed on an answer")
            self.refuse_answer("it cannot be decided about")
            return
        if reply is not None:
            self._open(answer, reply, body)
            self._finish(whole=True)
            return
        self.upstream_answers(answer, body)
        if not self._noted:
            if body:
                self.upstream_sends(body)
            self._finish(whole=True)

    async def _release(self, pending: Future[Any], answer: ResponseHead, reply: Reply) -> None:
        """Send what was held once what must be done first is done."""
        await self._plane.gate.settled(pending)
        self._task = None
        held, self._held = self._held or [], None
        self._open(answer, reply)
        for chunk in held:
            self.upstream_sends(chunk)
        if self._noted:
            return
        if self._ending is not None:
            self._finish(whole=self._ending)
            return
        self.stall("held", False)

    def _open(self, answer: ResponseHead, reply: Reply, body: bytes = b"") -> None:
        if self._tunnel is not None:
            self._outlet.switch(answer.reason, reply.fields, list(answer.all(b"upgrade")))
            self.forward_raw(self._client.begin_tunnel())
            return
        again = self._may_follow and not self._head.upgrade
        self._outlet.open(
            answer.status,
            answer.reason,
            reply.fields,
            editor=reply.editor,
            again=again,
            rendered=reply.rendered,
            body=body,
        )
        self._client.wait(ANSWER_IDLE)

    @property
    def _may_follow(self) -> bool:
        """Whether the request leaves room for another: it is whole. After an upgrade that was refused, what the
        browser sent ahead belongs to no request (RFC 9931), so that none follows either."""
        return self._whole and not self._plane.draining

    def upstream_sends(self, chunk: bytes) -> None:
        """A part of the answer."""
        if self._held is not None:
            self._held.append(chunk)
            return
        if self._tunnel is None:
            self._client.wait(ANSWER_IDLE)
            self._pass_out(chunk)
            return
        self._client.wait(TUNNEL_IDLE)
        self._outlet.send(self._tunnel.hand_on(chunk))

    def _pass_out(self, chunk: bytes) -> None:
        if self._noted:
            return
        try:
            self._outlet.send(chunk)
        except SpoiltBodyError:
            self._drop_source()
            self._plane.meters.upstream_failed += 1
            self._finish(whole=False)

    def upstream_ends(self, trailers: list[bytes]) -> None:
        """The answer is whole; the lines of its trailers."""
        self._connection = None
        if trailers:
            self._trailers = passable(read_response_fields(trailers))
        self._finish(whole=True)

    def upstream_fails(self, reason: str) -> None:
        """The answer will never be whole: asked again where that is harmless, else told or broken off."""
        connection, self._connection = self._connection, None
        stale = connection is not None and connection.reused and not connection.heard
        if stale and not self._retried and self._head.length == 0 and self._head.method in _REPEATABLE:
            self._retried = True
            self._send()
            return
        self._plane.meters.upstream_failed += 1
        if not self.opened:
            self._say(502, f"the site behind this proxy did not answer as it should: {reason}")
            return
        self._finish(whole=False)

    def upstream_pauses(self, paused: bool) -> None:
        """The upstream takes no more of the request for now, or again."""
        self._client.pause("upstream", paused)

    def refuse_answer(self, reason: str) -> None:
        """Tell the browser that the answer cannot be passed on, and why."""
        self._drop_source()
        self._plane.meters.upstream_failed += 1
        self._say(502, f"the answer of the site behind this proxy cannot be passed on: {reason}")

    # our own routes' answer

    def app_starts(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """The head of the answer."""
        fields = [response_field(name, value) for name, value in headers]
        self._outlet.open(status, phrase(status), fields, again=self._may_follow)
        self._client.wait(ANSWER_IDLE)

    def app_sends(self, chunk: bytes) -> None:
        """A part of its body."""
        self._outlet.send(chunk)

    def app_ends(self) -> None:
        """The answer is whole."""
        self._finish(whole=True)

    def app_fails(self) -> None:
        """The answer will never be whole."""
        if self.opened:
            self._finish(whole=False)
        else:
            self._say(500, "something went wrong here; please try again")

    # the end

    def _say(self, status: int, sentence: str, *more: tuple[bytes, bytes]) -> None:
        """An answer of our own, because there is no other."""
        text = sentence.encode() + b"\n"
        plain = [(b"Content-Type", b"text/plain; charset=utf-8"), (b"Content-Length", b"%d" % len(text))]
        said = [response_field(*pair) for pair in (*plain, (b"Cache-Control", b"no-store"), *more)]
        self._tunnel = None
        self._outlet.open(status, phrase(status), said, again=self._may_follow)
        self._outlet.send(text)
        self._finish(whole=True)

    def _finish(self, *, whole: bool) -> None:
        if self._held is not None:
            self._ending = whole
            return
        if whole:
            try:
                self._outlet.end(self._trailers)
            except SpoiltBodyError:
                self._plane.meters.upstream_failed += 1
                whole = False
        self._note()
        if not whole:
            self._outlet.break_off()
            return
        self._client.relayed(again=self._outlet.again)

    def _note(self) -> None:
        """Count this request and log it, once."""
        if self._noted:
            return
        self._noted = True
        outlet, meters = self._outlet, self._plane.meters
        seconds = time.perf_counter() - self._started
        meters.note(outlet.status, seconds, outlet.sent)
        if not self._plane.log.on:
            return
        self._plane.log.write(
            method=self._head.method,
            target=self._target,
            status=outlet.status,
            seconds=seconds,
            sent=outlet.sent,
            account=self._exchange.account if self._exchange is not None else None,
        )
