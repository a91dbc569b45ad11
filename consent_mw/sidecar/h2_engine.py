"""The engine of HTTP/2: frames, header compression, flow control and the states of streams are libnghttp2's.

Rule: the only file that knows which library that is.
Rule: a call about a stream that is gone is dropped; that it is gone is told by its own event.
Rule: what the peer gets wrong ends one stream where RFC 9113 allows that, else the connection, with GOAWAY.
Source: RFC 9113; RFC 9218 for which stream goes first.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import IntEnum
from typing import Final, Protocol

import ngh2
from ngh2 import Setting

from consent_mw.wire.h2_order import Disorder, FrameOrder
from consent_mw.wire.h2_request import Pairs
from consent_mw.wire.request_head import LONGEST_HEAD


class Code(IntEnum):
    """Why a stream or a connection ends, as far as we say it (RFC 9113 7)."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    SETTINGS_TIMEOUT = 0x4
    STREAM_CLOSED = 0x5
    CANCEL = 0x8
    ENHANCE_YOUR_CALM = 0xB


MOST_STREAMS: Final = 100
STREAM_WINDOW: Final = 65_536
CONNECTION_WINDOW: Final = 1_048_576
LONGEST_FIELDS: Final = 2 * LONGEST_HEAD
"""Bytes of a decoded head as RFC 9113 6.5.2 counts them (32 a field more): past LONGEST_HEAD the request is told so,
past this one the connection ends."""

MOST_CRUMBS: Final = 1024
"""Fields of one head before cookies are joined."""

_SETTINGS: Final = {
    Setting.MAX_CONCURRENT_STREAMS: MOST_STREAMS,
    Setting.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
    Setting.MAX_HEADER_LIST_SIZE: LONGEST_HEAD,
    Setting.NO_RFC7540_PRIORITIES: 1,
}
_CONFIGURATION: Final = ngh2.Configuration(
    auto_window_update=False,
    max_continuations=8,
    max_inbound_header_list_size=LONGEST_FIELDS,
    max_inbound_header_count=MOST_CRUMBS,
)
_DISORDERS: Final = {
    Disorder.STREAM_CLOSED: Code.STREAM_CLOSED,
    Disorder.PROTOCOL_ERROR: Code.PROTOCOL_ERROR,
    Disorder.TOO_MUCH: Code.ENHANCE_YOUR_CALM,
}
# A stream that asks for no order shares the connection with the others: in the order that RFC 9218 presumes, a long
# answer would let none after it begin.
_SHARING: Final = ngh2.Priority(3, incremental=True)


class Hearer(Protocol):
    """Who hears what a browser does. Calls come in the order of the frames."""

    def h2_asks(self, number: int, fields: Pairs, *, ended: bool) -> None:
        """A request begins; `ended`: it is whole already."""

    def h2_sends(self, number: int, data: bytes, *, ended: bool) -> None:
        """A part of a request's body."""

    def h2_trails(self, number: int, fields: Pairs) -> None:
        """The trailers of a request, which is whole with them."""

    def h2_gone(self, number: int, *, failed: bool) -> None:
        """A stream is closed; `failed`: by a reset, of either side."""

    def h2_settles(self) -> None:
        """Our settings are acknowledged."""

    def h2_pongs(self) -> None:
        """A ping of ours is answered."""

    def h2_fidgets(self) -> None:
        """Something that costs work and asks for nothing."""


class Engine:
    """One connection's state of HTTP/2, the server's side of it. `standing` until nothing more can be said."""

    def __init__(self, hearer: Hearer) -> None:
        self.standing = True
        self._hearer = hearer
        self._last = 0
        self._session = ngh2.Connection(ngh2.Role.SERVER, _CONFIGURATION)
        self._session.initiate_connection(_SETTINGS)
        self._session.set_local_window_size(CONNECTION_WINDOW)
        self._order = FrameOrder()
        self._deaf = False
        # Whatever comes, our settings are the first that is said (RFC 9113 3.4).
        self._said = self._session.data_to_send()

    # what comes in

    def receive(self, data: bytes) -> None:
        """Take bytes of the peer."""
        if not self.standing or self._deaf:
            return
        wrong = self._order.look(data)
        if wrong is not None:
            self.dismiss(_DISORDERS[wrong])
            return
        try:
            self._session.receive_data(data)
        except ngh2.DenialOfServiceError:
            self._fall(Code.ENHANCE_YOUR_CALM)
        except ngh2.NGH2Error:
            self._fall(Code.PROTOCOL_ERROR)
        else:
            self._tell()

    def _tell(self) -> None:
        events = self._session.events()
        # What is asked and taken back in one breath is never begun (CVE-2023-44487).
        taken_back = {event.stream_id for event in events if isinstance(event, ngh2.StreamReset)}
        hearer = self._hearer
        for event in events:
            if isinstance(event, ngh2.RequestReceived):
                number = event.stream_id
                self._last = max(self._last, number)
                if number not in taken_back:
                    self._share(number, event.headers)
                    hearer.h2_asks(number, event.headers, ended=event.end_stream)
            elif isinstance(event, ngh2.StreamClosed):
                self._order.forgive(event.stream_id)
                hearer.h2_gone(event.stream_id, failed=event.error_code != Code.NO_ERROR)
            elif isinstance(event, ngh2.DataReceived):
                if not event.data and not event.end_stream:
                    hearer.h2_fidgets()
                hearer.h2_sends(event.stream_id, event.data, ended=event.end_stream)
            elif not isinstance(event, ngh2.WindowUpdated):
                self._tell_of_the_rest(event)

    def _tell_of_the_rest(self, event: ngh2.Event) -> None:
        match event:
            case ngh2.TrailersReceived(number, fields):
                self._hearer.h2_trails(number, fields)
            case ngh2.PingReceived() | ngh2.SettingsReceived() | ngh2.PriorityUpdateReceived():
                self._hearer.h2_fidgets()
            case ngh2.SettingsAcknowledged():
                self._hearer.h2_settles()
            case ngh2.PingAcknowledged():
                self._hearer.h2_pongs()
            case ngh2.ConnectionClosed():
                self.standing = False
            case _:
                pass

    def _share(self, number: int, pairs: Pairs) -> None:
        for name, _ in pairs:
            if name == b"priority":
                return
        self._try(self._session.set_stream_priority, number, _SHARING)

    def consume(self, number: int, size: int) -> None:
        """So many bytes of a stream are passed on: the peer may send as many again."""
        if size:
            self._try(self._session.acknowledge_received_data, size, number)

    # what goes out

    def inform(self, number: int, fields: Pairs) -> None:
        """An interim answer."""
        self._try(self._session.send_informational_response, number, fields)

    def answer(self, number: int, fields: Pairs, *, ended: bool) -> None:
        """The head of an answer; `ended`: nothing follows."""
        self._try(self._session.send_response, number, fields, end_stream=ended)

    def send(self, number: int, data: bytes, *, ended: bool = False) -> None:
        """A part of an answer, kept until flow control lets it go; `ended`: the last one."""
        self._try(self._session.send_data, number, data, end_stream=ended)

    def trail(self, number: int, fields: Pairs) -> None:
        """The trailers of an answer, which is whole with them."""
        self._try(self._session.send_trailers, number, fields)

    def reset(self, number: int, code: Code) -> None:
        """Break a stream off."""
        self._try(self._session.reset_stream, number, code)

    def waiting(self, number: int) -> int:
        """How many bytes of an answer still wait for their turn."""
        return self._session.queued_body_size(number)

    def pull(self, most: int) -> bytes:
        """Bytes for the peer, at most so many; empty when nothing can go out now."""
        if self._said or not self.standing:
            said, self._said = self._said, b""
            return said
        try:
            said = self._session.data_to_send(most)
        except ngh2.NGH2Error:
            self._fall(Code.INTERNAL_ERROR)
            said, self._said = self._said, b""
        else:
            self._tell()
        return said

    # the end

    def announce_end(self) -> None:
        """Say that no request should be begun any more, and ask to be told when that was heard (RFC 9113 6.8)."""
        self._try(self._session.send_shutdown_notice)
        self._try(self._session.ping)

    def take_no_more(self, code: Code = Code.NO_ERROR) -> None:
        """Requests that begin from now on are not looked at; those under way go on."""
        self._try(self._session.send_goaway, code)

    def dismiss(self, code: Code) -> None:
        """End everything, now; nothing more is heard."""
        self._deaf = True
        self._try(self._session.terminate_connection, code)

    def _fall(self, code: Code) -> None:
        """The session is lost, and with it what it would have said: the last frame is made by hand."""
        self.standing = False
        self._said += b"\0\0\x08\x07\0\0\0\0\0" + struct.pack(">II", self._last, code)

    def _try(self, act: Callable[..., object], *given: object, **more: object) -> None:
        if self.standing:
            try:  # noqa: SIM105  twice as fast as its other spelling, five times a request
                act(*given, **more)
            except (ngh2.NGH2Error, ValueError):
                pass
