"""The plane: what all connections of one process share, and what a connection of any protocol offers to it.

Rule: nothing here knows which protocol a browser speaks.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from consent_mw.asgi.exchange import Editor
from consent_mw.asgi.gate import Gate
from consent_mw.sidecar.admission import Admission, Admissions
from consent_mw.wire.fields import Fields
from consent_mw.world.access_log import AccessLog
from consent_mw.world.metrics import Meters
from consent_mw.world.upstream import Pool

if TYPE_CHECKING:
    from consent_mw.wire.request_head import RequestHead


log = logging.getLogger("consent_mw.sidecar")


class Guest(Protocol):
    """One connection of a browser, as the plane sees it."""

    @property
    def deadline(self) -> float:
        """When something must have happened (the loop's time)."""

    def expire(self) -> None:
        """The deadline has passed."""

    def drain(self) -> None:
        """Take no new request; close if nothing is under way."""

    def abort(self, *, reset: bool = False) -> None:
        """Break the connection off. `reset`: its end must not look like the end of a body (RFC 9112 8)."""


class Outlet(Protocol):
    """One answer on its way to a browser. `opened` once its head is out, `again` if another request may follow on
    the connection; `sent` counts the body's bytes."""

    opened: bool
    again: bool
    status: int
    sent: int

    def inform(self, status: int, reason: bytes, fields: Fields) -> None:
        """Hand on an interim answer, to whoever understands one (RFC 9110 15.2)."""

    def switch(self, reason: bytes, fields: Fields, protocols: list[bytes]) -> None:
        """Answer 101; what follows is another protocol's."""

    def open(
        self,
        status: int,
        reason: bytes,
        fields: Fields,
        *,
        editor: Editor | None = None,
        again: bool,
        rendered: dict[int, object] | None = None,
        body: bytes = b"",
    ) -> None:
        """Send the head. `again`: the request leaves room for another one; `rendered` remembers what was made of
        these fields, where they come again; `body` is a first part of it that is there already."""

    def send(self, chunk: bytes) -> None:
        """Send a part of the body, edited where there is an editor."""

    def end(self, trailers: Fields) -> None:
        """The answer is whole; these trailers may be passed on."""

    def break_off(self) -> None:
        """The answer will never be whole: the browser must not take the part for it."""


class Downlink(Protocol):
    """Where one request came from: a connection of HTTP/1, a stream of HTTP/2. `secure`: over TLS; `stalled`: it
    takes no more for now."""

    plane: Plane
    peer: str
    secure: bool
    stalled: bool

    def outlet(self, head: RequestHead) -> Outlet:
        """The way out for the answer to this request."""

    def wait(self, seconds: float) -> None:
        """The next thing must happen within these seconds."""

    def pause(self, why: str, paused: bool) -> None:
        """Take no more of the request's body for this reason, or no longer for it."""

    def begin_tunnel(self) -> bytes:
        """From now on bytes are handed on raw; those that wait already."""

    def relayed(self, *, again: bool) -> None:
        """The answer is whole; another request may follow, or the connection ends."""


@dataclass(slots=True)
class Plane:
    """What all connections share. `now` is the loop's time of the last sweep, a second ago at most: near enough for
    deadlines."""

    gate: Gate
    pool: Pool
    meters: Meters
    log: AccessLog
    draining: bool = False
    now: float = 0.0
    connections: set[Guest] = field(default_factory=set)
    admissions: Admissions = field(default_factory=Admissions)

    def admitted(self, head: RequestHead, peer: str, secure: bool) -> tuple[Admission, bytes] | None:
        """What becomes of this request, if it is an ordinary one (see Admissions) and can be decided about."""
        try:
            return self.admissions.admit(head, self.gate, peer, secure, self.pool.upstream.authority)
        except Exception:
            # A relay tells the browser, if it fails again.
            log.exception("the gate failed on a request")
            return None

    def sweep(self) -> None:
        """Expire every connection whose deadline has passed; called once a second."""
        now = self.now = asyncio.get_running_loop().time()
        for connection in [one for one in self.connections if one.deadline < now]:
            connection.expire()
        self.pool.sweep()

    def drain(self) -> None:
        """Take no new request; idle connections are closed."""
        self.draining = True
        for connection in list(self.connections):
            connection.drain()
