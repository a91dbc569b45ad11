"""The answer on its way to a browser: opened once, held where something must be done first, counted once.

Rule: an answer that breaks off is broken off for the browser too, never ended as if whole.
Rule: what is held goes out once what it waits for is done, in the order it came.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Future
from typing import Any

from consent_mw.asgi.exchange import Exchange, Reply
from consent_mw.errors import SpoiltBodyError
from consent_mw.sidecar.bridge import Bridge
from consent_mw.sidecar.outlet import phrase
from consent_mw.sidecar.plain import plain
from consent_mw.sidecar.plane import Downlink
from consent_mw.sidecar.tunnel import Tunnel
from consent_mw.sidecar.uplink import FIRST_BYTE_WITHIN, Uplink
from consent_mw.wire.fields import Fields
from consent_mw.wire.request_head import RequestHead
from consent_mw.wire.response_head import ResponseHead

ANSWER_IDLE = 300.0
TUNNEL_IDLE = 3600.0
"""Seconds: between parts of an answer; between bytes of a tunnel."""


class Answer:
    """One answer, between its source (an Uplink, or a Bridge) and its outlet. A Relay hears what is in it."""

    _exchange: Exchange | None = None
    _bridge: Bridge | None = None
    _tunnel: Tunnel | None = None
    _releasing: asyncio.Task[None] | None = None
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
        self._uplink = Uplink(client, head)
        self._started = time.perf_counter()

    @property
    def opened(self) -> bool:
        """Whether the head of an answer is out, or about to go."""
        return self._outlet.opened or self._held is not None

    @property
    def _may_follow(self) -> bool:
        """Whether the request leaves room for another: it is whole. After an upgrade that was refused, what the
        browser sent ahead belongs to no request (RFC 9931), so that none follows either."""
        return self._uplink.whole and not self._plane.draining

    # out

    def _give(self, answer: ResponseHead, reply: Reply) -> None:
        """Open the answer, or hold it until what must be done first is done."""
        if answer.status == 101:
            self._tunnel = Tunnel(answer.all(b"upgrade"))
        if reply.pending is None:
            self._open(answer, reply)
            return
        self._held = []
        self._client.wait(FIRST_BYTE_WITHIN)
        self._uplink.stall("held", True)
        release = self._release(reply.pending, answer, reply)
        self._releasing = asyncio.get_running_loop().create_task(release)

    async def _release(self, pending: Future[Any], answer: ResponseHead, reply: Reply) -> None:
        """Send what was held once what must be done first is done."""
        await self._plane.gate.settled(pending)
        self._releasing = None
        held, self._held = self._held or [], None
        self._open(answer, reply)
        for chunk in held:
            self._send(chunk)
        if self._noted:
            return
        if self._ending is not None:
            self._finish(whole=self._ending)
            return
        self._uplink.stall("held", False)

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

    def _send(self, chunk: bytes) -> None:
        """Send a part of the answer on, or hold it as well."""
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

    def _say(self, status: int, sentence: str, *more: tuple[bytes, bytes]) -> None:
        """An answer of our own, because there is no other."""
        said, text = plain(sentence, *more)
        self._tunnel = None
        self._outlet.open(status, phrase(status), said, again=self._may_follow)
        self._outlet.send(text)
        self._finish(whole=True)

    # the tunnel

    def forward_raw(self, data: bytes) -> None:
        """Bytes of a tunnel."""
        self._client.wait(TUNNEL_IDLE)
        if self._uplink.connection is not None:
            self._uplink.connection.write(data)

    def leave(self) -> None:
        """The process goes away: a WebSocket is told so; whatever else is under way may end by itself."""
        if self._tunnel is not None and self._held is None:
            self._outlet.send(self._tunnel.leave())

    # the end

    def cancel(self) -> None:
        """The browser is gone, or was refused: break off what is under way."""
        if self._releasing is not None:
            self._releasing.cancel()
        self._drop_source()
        self._note()

    def _drop_source(self) -> None:
        self._uplink.drop(flush=self._tunnel is not None)
        if self._bridge is not None:
            self._bridge.cancel()

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
