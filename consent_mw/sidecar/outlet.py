"""The outlet of HTTP/1: one answer on its way to a browser, framed by us and edited as it streams.

Rule: an answer is opened once, and ended only if it is whole.
Rule: what has no length is chunked; towards HTTP/1.0 the end of the connection ends it (RFC 9112 6.3).
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from consent_mw.asgi.exchange import Editor
from consent_mw.sidecar.forwarding import render, wants_trailers
from consent_mw.wire.fields import Fields, response_field
from consent_mw.wire.request_head import RequestHead
from consent_mw.wire.trailers import last_chunk

if TYPE_CHECKING:
    from consent_mw.sidecar.downstream import Client

_CHUNKED: Final = response_field(b"Transfer-Encoding", b"chunked")
_CLOSE: Final = response_field(b"Connection", b"close")
_KEEP_ALIVE: Final = response_field(b"Connection", b"keep-alive")
_UPGRADE: Final = response_field(b"Connection", b"Upgrade")
LINES_KEPT: Final = 256


class Http1Outlet:
    """One answer. `opened` once its head is out, `again` if another request may follow on the connection."""

    opened = False
    again = False
    status = 0
    sent = 0
    _editor: Editor | None = None
    _chunked = False
    _until_end = False
    _bodiless = False

    def __init__(self, client: Client, head: RequestHead) -> None:
        self._client = client
        self._head = head

    def inform(self, status: int, reason: bytes, fields: Fields) -> None:
        """Hand on an interim answer, to whoever understands one (RFC 9110 15.2)."""
        if not self._head.http10 and not self.opened:
            self._client.write(render(_first_line(status, reason), fields))

    def switch(self, reason: bytes, fields: Fields, protocols: list[bytes]) -> None:
        """Answer 101; what follows is another protocol's."""
        self.opened, self.status = True, 101
        upgrades = [response_field(b"Upgrade", one) for one in protocols]
        said = [*_without_length(fields), _UPGRADE, *upgrades]
        self._client.write(render(_first_line(101, reason), said))

    def open(self, status: int, reason: bytes, fields: Fields, *, editor: Editor | None = None, again: bool) -> None:
        """Send the head. `again`: the request leaves room for another one."""
        head = self._head
        self.opened, self.status = True, status
        if editor is not None:
            self._editor = editor
        self._bodiless = bodiless = head.method == b"HEAD" or status == 204 or status == 304
        if status == 204:
            fields = _without_length(fields)
        added: Fields = []
        if not bodiless and not any(field[0] == b"content-length" for field in fields):
            self._chunked = not head.http10
            self._until_end = head.http10
            if self._chunked:
                added.append(_CHUNKED)
        self.again = again = again and head.keep_alive and not self._until_end
        if not again:
            added.append(_CLOSE)
        elif head.http10:
            added.append(_KEEP_ALIVE)
        line = _first_lines.get((status, reason)) or _first_line(status, reason)
        self._client.write(render(line, fields + added if added else fields))

    def send(self, chunk: bytes) -> None:
        """Send a part of the body, edited where there is an editor."""
        self._write(self._editor.feed(chunk) if self._editor is not None else chunk)

    def end(self, trailers: Fields) -> None:
        """The answer is whole; these trailers may be passed on."""
        if self._editor is not None:
            self._write(self._editor.finish())
        if self._chunked:
            understood = trailers and wants_trailers(self._head)
            self._client.write(last_chunk(trailers if understood else []))

    def break_off(self) -> None:
        """The answer will never be whole: the browser must not take the part for it."""
        self._client.abort(reset=self._until_end)

    def _write(self, chunk: bytes) -> None:
        if not chunk or self._bodiless:
            return
        self.sent += len(chunk)
        self._client.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if self._chunked else chunk)


def phrase(status: int) -> bytes:
    """The reason phrase of a status, empty for one that has none."""
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""


_first_lines: dict[tuple[int, bytes], bytes] = {}


def _first_line(status: int, reason: bytes) -> bytes:
    line = b"HTTP/1.1 %d %b" % (status, reason)
    if len(_first_lines) < LINES_KEPT and len(reason) < LINES_KEPT:
        _first_lines[status, reason] = line
    return line


def _without_length(fields: Fields) -> Fields:
    """A 1xx or 204 has no Content-Length (RFC 9110 8.6)."""
    return [field for field in fields if field[0] != b"content-length"]
