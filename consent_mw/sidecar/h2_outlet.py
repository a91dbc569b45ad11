"""The outlet of HTTP/2: one answer on its way to a browser, as frames of one stream.

Rule: an answer is opened once, and its stream ended only if it is whole; else the stream is reset.
Rule: field names are lower case, and none is about a connection (RFC 9113 8.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from consent_mw.asgi.exchange import Editor
from consent_mw.wire.fields import HOP_BY_HOP, Fields

if TYPE_CHECKING:
    from consent_mw.sidecar.h2_stream import Stream

_OURS: Final = 8
"""Under which number of what was made of some fields ours is kept; HTTP/1 has those below."""


class Http2Outlet:
    """One answer. `opened` once its head is out; another request always may follow, on a stream of its own."""

    def __init__(self, stream: Stream, method: bytes) -> None:
        self.opened = False
        self.again = True
        self.status = 0
        self.sent = 0
        self._stream = stream
        self._method = method
        self._editor: Editor | None = None
        self._bodiless = False

    def inform(self, status: int, reason: bytes, fields: Fields) -> None:
        """Hand on an interim answer (RFC 9110 15.2)."""
        if not self.opened:
            self._stream.inform(_pairs(status, fields))

    def switch(self, reason: bytes, fields: Fields, protocols: list[bytes]) -> None:
        """HTTP/2 has no 101 (RFC 9113 8.6), and no request here can ask for one."""
        self.break_off()

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
        """Send the head; `rendered` remembers what was made of these fields, where they come again; `body` is a first
        part of it that is there already."""
        self.opened, self.status, self._editor = True, status, editor
        self._bodiless = self._method == b"HEAD" or status in (204, 304)
        known = None if rendered is None else rendered.get(_OURS)
        pairs = known if isinstance(known, list) else _pairs(status, fields)
        if rendered is not None:
            rendered[_OURS] = pairs
        self._stream.answer(pairs, ended=self._bodiless)
        if body:
            self.send(body)

    def send(self, chunk: bytes) -> None:
        """Send a part of the body, edited where there is an editor."""
        self._write(self._editor.feed(chunk) if self._editor is not None else chunk)

    def end(self, trailers: Fields) -> None:
        """The answer is whole; these trailers may be passed on."""
        if self._bodiless:
            return
        last = b""
        if self._editor is not None:
            # What trailers say of the body is not true of an edited one.
            last, trailers = self._editor.finish(), []
        self.sent += len(last)
        self._stream.send(last, ended=not trailers)
        if trailers:
            self._stream.trail([(lower, value) for lower, value, _, _ in trailers])

    def break_off(self) -> None:
        """The answer will never be whole: the browser must not take the part for it."""
        self._stream.break_off()

    def _write(self, chunk: bytes) -> None:
        if not chunk or self._bodiless:
            return
        self.sent += len(chunk)
        self._stream.send(chunk, ended=False)


def _pairs(status: int, fields: Fields) -> list[tuple[bytes, bytes]]:
    """The status and the fields as HTTP/2 has them."""
    pairs = [(b":status", b"%d" % status)]
    # A 204 has no Content-Length (RFC 9110 8.6).
    never = HOP_BY_HOP if status != 204 else HOP_BY_HOP | {b"content-length"}
    pairs += [(lower, value) for lower, value, _, _ in fields if lower not in never]
    return pairs
