"""The outlet of HTTP/1: one answer on its way to a browser, framed by us and edited as it streams.

Rule: an answer is opened once, and ended only if it is whole.
Rule: what has no length is chunked; towards HTTP/1.0 the end of the connection ends it (RFC 9112 6.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from consent_mw.asgi.exchange import Editor
from consent_mw.sidecar.forwarding import wants_trailers
from consent_mw.wire.fields import Fields, named, render, response_field
from consent_mw.wire.request_head import RequestHead
from consent_mw.wire.trailers import last_chunk

if TYPE_CHECKING:
    from consent_mw.sidecar.downstream import Client

_CHUNKED: Final = response_field(b"Transfer-Encoding", b"chunked")
_CLOSE: Final = response_field(b"Connection", b"close")
_KEEP_ALIVE: Final = response_field(b"Connection", b"keep-alive")
_UPGRADE: Final = response_field(b"Connection", b"Upgrade")
LINES_KEPT: Final = 256

AGAIN: Final = 1
BODILESS: Final = 2
OLDER: Final = 4
"""What the head of an answer is made by: another request may follow, there is no body, it is for HTTP/1.0."""


@dataclass(frozen=True, slots=True)
class Framed:
    """The head of an answer as bytes, and how its body is framed."""

    head: bytes
    chunked: bool
    until_end: bool
    again: bool


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
        head = self._head
        again = again and head.keep_alive
        self.opened, self.status = True, status
        self._bodiless = bodiless = head.method == b"HEAD" or status == 204 or status == 304
        number = AGAIN * again + BODILESS * bodiless + OLDER * head.http10
        known = None if rendered is None else rendered.get(number)
        if not isinstance(known, Framed):
            known = _framed(status, reason, fields, again=again, bodiless=bodiless, http10=head.http10)
            if rendered is not None:
                rendered[number] = known
        if editor is not None:
            self._editor = editor
        self._chunked, self._until_end, self.again = known.chunked, known.until_end, known.again
        if body and editor is None and not bodiless and not known.chunked:
            # One write costs less than two.
            self.sent = len(body)
            self._client.write(known.head + body)
            return
        self._client.write(known.head)
        if body:
            self.send(body)

    def send(self, chunk: bytes) -> None:
        """Send a part of the body, edited where there is an editor."""
        self._write(self._editor.feed(chunk) if self._editor is not None else chunk)

    def end(self, trailers: Fields) -> None:
        """The answer is whole; these trailers may be passed on."""
        if self._editor is not None:
            self._write(self._editor.finish())
        if self._chunked:
            # What they say of the body is not true of an edited one.
            understood = trailers and self._editor is None and wants_trailers(self._head)
            self._client.write(last_chunk(trailers if understood else []))

    def break_off(self) -> None:
        """The answer will never be whole: the browser must not take the part for it."""
        self._client.abort(reset=self._until_end)

    def _write(self, chunk: bytes) -> None:
        if not chunk or self._bodiless:
            return
        self.sent += len(chunk)
        self._client.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if self._chunked else chunk)


def _framed(status: int, reason: bytes, fields: Fields, *, again: bool, bodiless: bool, http10: bool) -> Framed:
    if status == 204:
        fields = _without_length(fields)
    unframed = not bodiless and not named(fields, b"content-length")
    chunked, until_end = unframed and not http10, unframed and http10
    again = again and not until_end
    added: Fields = [_CHUNKED] if chunked else []
    if not again:
        added.append(_CLOSE)
    elif http10:
        added.append(_KEEP_ALIVE)
    line = _first_lines.get((status, reason)) or _first_line(status, reason)
    return Framed(render(line, fields + added if added else fields), chunked, until_end, again)


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
