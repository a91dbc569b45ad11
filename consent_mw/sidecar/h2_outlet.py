"""The outlet of HTTP/2: one answer on its way to a browser, as frames of one stream.

Rule: an answer is opened once, and its stream ended only if it is whole; else the stream is reset.
Rule: field names are lower case, and none is about a connection (RFC 9113 8.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from consent_mw.asgi.exchange import Editor
from consent_mw.sidecar.forwarding import HOP_BY_HOP, Headers

if TYPE_CHECKING:
    from consent_mw.sidecar.h2_stream import Stream


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

    def inform(self, status: int, reason: bytes, headers: Headers) -> None:
        """Hand on an interim answer (RFC 9110 15.2)."""
        if not self.opened:
            self._stream.inform(_fields(status, headers))

    def switch(self, reason: bytes, headers: Headers, protocols: list[bytes]) -> None:
        """HTTP/2 has no 101 (RFC 9113 8.6), and no request here can ask for one."""
        self.break_off()

    def open(
        self, status: int, reason: bytes, headers: Headers, *, editor: Editor | None = None, again: bool
    ) -> None:
        """Send the head."""
        self.opened, self.status, self._editor = True, status, editor
        self._bodiless = self._method == b"HEAD" or status in (204, 304)
        fields = _fields(status, headers)
        if status == 204:
            fields = [pair for pair in fields if pair[0] != b"content-length"]
        self._stream.answer(fields, ended=self._bodiless)

    def send(self, chunk: bytes) -> None:
        """Send a part of the body, edited where there is an editor."""
        self._write(self._editor.feed(chunk) if self._editor is not None else chunk)

    def end(self) -> None:
        """The answer is whole."""
        last = self._editor.finish() if self._editor is not None else b""
        if not self._bodiless:
            self.sent += len(last)
            self._stream.send(last, ended=True)

    def break_off(self) -> None:
        """The answer will never be whole: the browser must not take the part for it."""
        self._stream.break_off()

    def _write(self, chunk: bytes) -> None:
        if not chunk or self._bodiless:
            return
        self.sent += len(chunk)
        self._stream.send(chunk, ended=False)


def _fields(status: int, headers: Headers) -> Headers:
    fields = [(b":status", b"%d" % status)]
    for name, value in headers:
        lower = name.lower()
        if lower not in HOP_BY_HOP:
            fields.append((lower, value.strip(b" \t")))
    return fields
