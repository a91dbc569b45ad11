"""The outlet of HTTP/1: one answer on its way to a browser, framed by us and edited as it streams.

Rule: an answer is opened once, and ended only if it is whole.
Rule: what has no length is chunked; towards HTTP/1.0 the end of the connection ends it (RFC 9112 6.3).
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from consent_mw.asgi.exchange import Editor
from consent_mw.sidecar.forwarding import Headers, render
from consent_mw.wire.request_head import RequestHead

if TYPE_CHECKING:
    from consent_mw.sidecar.downstream import Client


class Http1Outlet:
    """One answer. `opened` once its head is out, `again` if another request may follow on the connection."""

    def __init__(self, client: Client, head: RequestHead) -> None:
        self.opened = False
        self.again = False
        self.status = 0
        self.sent = 0
        self._client = client
        self._head = head
        self._editor: Editor | None = None
        self._chunked = False
        self._until_end = False
        self._bodiless = False

    def inform(self, status: int, reason: bytes, headers: Headers) -> None:
        """Hand on an interim answer, to whoever understands one (RFC 9110 15.2)."""
        if not self._head.http10 and not self.opened:
            self._client.write(render(_first_line(status, reason), headers))

    def switch(self, reason: bytes, headers: Headers, protocols: list[bytes]) -> None:
        """Answer 101; what follows is another protocol's."""
        self.opened, self.status = True, 101
        said = [*_without_length(headers), (b"Connection", b"Upgrade"), *((b"Upgrade", one) for one in protocols)]
        self._client.write(render(_first_line(101, reason), said))

    def open(
        self, status: int, reason: bytes, headers: Headers, *, editor: Editor | None = None, again: bool
    ) -> None:
        """Send the head. `again`: the request leaves room for another one."""
        head = self._head
        self.opened, self.status, self._editor = True, status, editor
        self._bodiless = head.method == b"HEAD" or status in (204, 304)
        if status == 204:
            headers = _without_length(headers)
        unframed = not self._bodiless and not any(name.lower() == b"content-length" for name, _ in headers)
        self._chunked = unframed and not head.http10
        self._until_end = unframed and head.http10
        self.again = again and head.keep_alive and not self._until_end
        said = list(headers)
        if self._chunked:
            said.append((b"Transfer-Encoding", b"chunked"))
        if not self.again:
            said.append((b"Connection", b"close"))
        elif head.http10:
            said.append((b"Connection", b"keep-alive"))
        self._client.write(render(_first_line(status, reason), said))

    def send(self, chunk: bytes) -> None:
        """Send a part of the body, edited where there is an editor."""
        self._write(self._editor.feed(chunk) if self._editor is not None else chunk)

    def end(self) -> None:
        """The answer is whole."""
        if self._editor is not None:
            self._write(self._editor.finish())
        if self._chunked:
            self._client.write(b"0\r\n\r\n")

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


def _first_line(status: int, reason: bytes) -> bytes:
    return b"HTTP/1.1 %d %b" % (status, reason)


def _without_length(headers: Headers) -> Headers:
    """A 1xx or 204 has no Content-Length (RFC 9110 8.6)."""
    return [pair for pair in headers if pair[0].lower() != b"content-length"]
