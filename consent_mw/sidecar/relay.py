"""The relay: one request and its answer, between a browser's connection and the upstream (or our own routes).

Rule: the gate decides, this moves bytes; framing is ours on both sides.
Rule: what the gate cannot decide about is not passed on, in either direction.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from consent_mw.asgi.exchange import Exchange
from consent_mw.asgi.observe import Observation
from consent_mw.asgi.ruleset import Route
from consent_mw.sidecar.answer import ANSWER_IDLE, Answer
from consent_mw.sidecar.bridge import Bridge, dated
from consent_mw.sidecar.forwarding import for_this_hop, forwarded, interim, last_hop, loops
from consent_mw.sidecar.outlet import phrase
from consent_mw.sidecar.plain import METHODS
from consent_mw.sidecar.uplink import FIRST_BYTE_WITHIN
from consent_mw.wire.fields import HOP_BY_HOP, read_response_fields, response_field
from consent_mw.wire.response_head import ResponseHead
from consent_mw.wire.trailers import passable
from consent_mw.world.upstream import Connection

log = logging.getLogger("consent_mw.sidecar")


class Relay(Answer):
    """One request on its way. Hears the browser's side from its Downlink, the answer from upstream or Bridge."""

    # the request

    def begin(self) -> None:
        """Ask the gate, then send the request where it goes."""
        head, client, gate = self._head, self._client, self._plane.gate
        if loops(head.seen, head.repeated):
            self._say(508, "this request has been through here already")
            return
        if head.method == b"OPTIONS" and b"max-forwards" in head.seen and last_hop(head):
            self._say(200, "this proxy forwards what is asked of it", (b"Allow", METHODS))
            return
        try:
            exchange = gate.decide(Observation(head.method, head.target, head.seen, head.repeated), client.peer)
            self._exchange = exchange
            if exchange.route is Route.OURS:
                self._bridge_to(exchange)
                return
            trusted = exchange.rules.trusts(client.peer)
            named = self._plane.pool.upstream.authority
            rendered = forwarded(head, exchange, client.peer, named, trusted=trusted, secure=client.secure)
        except Exception:
            log.exception("the gate failed on a request")
            self._say(500, "this request cannot be decided about")
            return
        self._uplink.send(self, rendered)

    def begin_admitted(self, exchange: Exchange, rendered: bytes) -> None:
        """Send a request on about which nothing is to be asked again."""
        self._uplink.whole = True
        self._exchange = exchange
        self._uplink.send(self, rendered)

    def take_over(self, exchange: Exchange, rendered: bytes, connection: Connection | None, started: float) -> None:
        """Go on with a request that this connection was sent; None where it is done with it."""
        self._exchange = exchange
        self._started = started
        self._uplink.take_over(rendered, connection)
        if connection is not None:
            connection.hand_over(self)

    def _bridge_to(self, exchange: Exchange) -> None:
        head, client = self._head, self._client
        if head.continues and head.length != 0:
            self._outlet.inform(100, phrase(100), [])
        app = self._plane.gate.app
        known = app.at_once(exchange) if self._uplink.whole else None
        if known is not None:
            self.app_starts(known.status_code, dated(known.raw_headers), bytes(known.body))
            self.app_ends()
            return
        self._bridge = Bridge(app, self)
        self._bridge.begin(head, exchange, client.peer, secure=client.secure)
        if self._uplink.whole:
            self._bridge.finish()

    def feed(self, chunk: bytes) -> None:
        """A part of the request's body."""
        if self._bridge is not None:
            self._bridge.feed(chunk)
            return
        self._uplink.feed(chunk)

    def feed_end(self, trailers: Sequence[bytes] = ()) -> None:
        """The request is whole; the lines of its trailers."""
        uplink, bridge = self._uplink, self._bridge
        if bridge is None:
            uplink.finish(trailers)
        else:
            uplink.whole = True
            bridge.finish()
        if not self.opened and (bridge is not None or uplink.connection is not None):
            self._client.wait(FIRST_BYTE_WITHIN)

    def stall(self, why: str, stalled: bool) -> None:
        """Take no more of the answer for this reason, or no longer for it."""
        self._uplink.stall(why, stalled)

    def expire(self) -> None:
        """Nothing happened for too long."""
        if self.opened:
            self.cancel()
            self._outlet.break_off()
            return
        self._drop_source()
        self._plane.meters.upstream_failed += 1
        self._say(504, "the site behind this proxy did not answer in time")

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
        self._give(answer, reply)

    def upstream_whole(self, answer: ResponseHead, body: bytes) -> None:
        """The whole answer in one piece."""
        self._uplink.connection = None
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

    def upstream_sends(self, chunk: bytes) -> None:
        """A part of the answer."""
        self._send(chunk)

    def upstream_ends(self, trailers: list[bytes]) -> None:
        """The answer is whole; the lines of its trailers."""
        self._uplink.connection = None
        if trailers:
            self._trailers = passable(read_response_fields(trailers))
        self._finish(whole=True)

    def upstream_fails(self, reason: str) -> None:
        """The answer will never be whole: asked again where that is harmless, else told or broken off."""
        if self._uplink.repeat(self):
            return
        self._plane.meters.upstream_failed += 1
        if not self.opened:
            self._say(502, f"the site behind this proxy did not answer as it should: {reason}")
            return
        self._finish(whole=False)

    def upstream_refuses(self, status: int, reason: str) -> None:
        """The site takes no connection."""
        self._plane.meters.upstream_failed += 1
        self._say(status, f"the site behind this proxy {reason}")

    def upstream_pauses(self, paused: bool) -> None:
        """The upstream takes no more of the request for now, or again."""
        self._client.pause("upstream", paused)

    def refuse_answer(self, reason: str) -> None:
        """Tell the browser that the answer cannot be passed on, and why."""
        self._drop_source()
        self._plane.meters.upstream_failed += 1
        self._say(502, f"the answer of the site behind this proxy cannot be passed on: {reason}")

    # our own routes' answer

    def app_starts(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """The head of the answer, with the first part of its body."""
        fields = [response_field(name, value) for name, value in headers]
        self._outlet.open(status, phrase(status), fields, again=self._may_follow, body=body)
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
