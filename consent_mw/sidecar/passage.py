"""The passage: a request that came before on its way, for as long as its answer is one that came before, too.

Rule: whatever else happens is a Relay's to handle: the passage hands over, and is none any more.
Rule: what is skipped is work, nothing else: the same bytes go out, the same is counted, logged and reported.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Final

from consent_mw.asgi.exchange import Reply
from consent_mw.asgi.reporting import is_seen
from consent_mw.sidecar.admission import Admission, target_of
from consent_mw.sidecar.outlet import AGAIN, Framed
from consent_mw.sidecar.relay import Relay
from consent_mw.sidecar.uplink import FIRST_BYTE_WITHIN
from consent_mw.wire.response_head import ResponseHead

if TYPE_CHECKING:
    from consent_mw.sidecar.downstream import Client
    from consent_mw.world.upstream import Connection

log = logging.getLogger("consent_mw.sidecar")


class Passage:
    """The way of one browser's connection for what came before, one request at a time. See Relay for its methods."""

    __slots__ = ("_admission", "_client", "_connection", "_plane", "_rendered", "_started")

    opened: Final = False

    _admission: Admission
    _connection: Connection
    _rendered: bytes
    _started: float

    def __init__(self, client: Client) -> None:
        self._client = client
        self._plane = client.plane

    def begin(self, connection: Connection, admission: Admission, rendered: bytes) -> None:
        """Send this request on."""
        self._admission = admission
        self._rendered = rendered
        self._connection = connection
        self._started = perf_counter()
        connection.begin_whole(self, rendered)
        self._client.deadline = self._plane.now + FIRST_BYTE_WITHIN

    def upstream_whole(self, answer: ResponseHead, body: bytes) -> None:
        """The whole answer in one piece: most often one that was given before."""
        plane, bearing, replies, status = self._plane, self._admission.bearing, answer.replies, answer.status
        reply: Reply | None = replies.get(bearing) if replies else None
        if (
            reply is None
            or bearing is None
            or not reply.head
            or plane.draining
            or plane.gate.failing
            or (reply.concerned is not None and reply.concerned(body))
        ):
            self._hand_over(None).upstream_whole(answer, body)
            self._learn(answer)
            return
        try:
            if reply.dropped:
                plane.gate.counts["set_cookie_dropped"] += reply.dropped
            if bearing.enforcement.leaves:
                self._report(reply, status)
            elif reply.page and self._admission.viewer is not None and is_seen(status):
                path = target_of(self._rendered).partition(b"?")[0]
                plane.gate.statistics.count(path, *self._admission.viewer, plane.gate.now())
                plane.gate.reporter.refuse(self._admission.rules, bearing.enforcement, self._admission.viewer[0])
        except Exception:
            log.exception("the gate failed on an answer")
            self._hand_over(None).refuse_answer("it cannot be decided about")
            return
        seconds, sent = perf_counter() - self._started, len(body)
        plane.meters.note(status, seconds, sent)
        if plane.log.on:
            self._log(status, seconds, sent)
        self._client.passed(reply.head + body)

    def _learn(self, answer: ResponseHead) -> None:
        """Take note of the head that was written for this answer, if it is to be given again as it is."""
        reply: Reply | None = answer.replies.get(self._admission.bearing) if answer.replies else None
        framed = reply.rendered.get(AGAIN) if reply is not None and reply.rendered is not None else None
        if reply is not None and reply.issues is None and isinstance(framed, Framed) and not framed.chunked:
            reply.head = framed.head

    def _report(self, reply: Reply, status: int) -> None:
        gate = self._plane.gate
        exchange = self._admission.exchange(gate, target_of(self._rendered), perf_counter() - self._started)
        gate.reporter.report(exchange, status, reply.page)

    def _log(self, status: int, seconds: float, sent: int) -> None:
        admission = self._admission
        self._plane.log.write(
            method=b"GET",
            target=target_of(self._rendered),
            status=status,
            seconds=seconds,
            sent=sent,
            account=admission.account or admission.accounted(),
        )

    def _hand_over(self, connection: Connection | None) -> Relay:
        """The relay that goes on with this request, on this connection or, where that is done with it, without."""
        client, admission = self._client, self._admission
        target = target_of(self._rendered)
        exchange = admission.exchange(self._plane.gate, target, perf_counter() - self._started)
        relay = client.relay = Relay(client, admission.head, target)
        relay.take_over(exchange, self._rendered, connection, self._started)
        return relay

    # whatever else the upstream does

    def upstream_informs(self, answer: ResponseHead) -> None:
        """An interim answer."""
        self._hand_over(self._connection).upstream_informs(answer)

    def upstream_answers(self, answer: ResponseHead) -> None:
        """The head of an answer whose body is not all there."""
        self._hand_over(self._connection).upstream_answers(answer)

    def upstream_sends(self, chunk: bytes) -> None:
        """A part of the answer."""
        self._hand_over(self._connection).upstream_sends(chunk)

    def upstream_ends(self, trailers: list[bytes]) -> None:
        """The answer is whole."""
        self._hand_over(self._connection).upstream_ends(trailers)

    def upstream_fails(self, reason: str) -> None:
        """The answer will never be whole."""
        self._hand_over(self._connection).upstream_fails(reason)

    def upstream_pauses(self, paused: bool) -> None:
        """The upstream takes no more of the request for now, or again."""
        self._hand_over(self._connection).upstream_pauses(paused)

    # whatever else the browser does

    def feed(self, chunk: bytes) -> None:
        """A part of the request's body."""
        self._hand_over(self._connection).feed(chunk)

    def feed_end(self, trailers: Sequence[bytes] = ()) -> None:
        """The request is whole."""
        self._hand_over(self._connection).feed_end(trailers)

    def forward_raw(self, data: bytes) -> None:
        """Bytes of a tunnel."""
        self._hand_over(self._connection).forward_raw(data)

    def stall(self, why: str, stalled: bool) -> None:
        """Take no more of the answer for this reason, or no longer for it."""
        self._hand_over(self._connection).stall(why, stalled)

    def cancel(self) -> None:
        """The browser is gone, or was refused."""
        self._hand_over(self._connection).cancel()

    def expire(self) -> None:
        """Nothing happened for too long."""
        self._hand_over(self._connection).expire()

    def leave(self) -> None:
        """The process goes away: what is under way may end by itself."""
