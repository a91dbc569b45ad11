"""An answer of the site as it is read: its head, the interim ones before it, and its body.

Rule: what the site sends is passed on as it came; what cannot be framed one way only is a failure, not a guess.
Rule: what follows an answer in the same read is nobody's, and ends the connection.
Source: RFC 9112 6 to 9.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from consent_mw.wire.body import ChunkedBody, MalformedBodyError
from consent_mw.wire.response_head import CHUNKED, LONGEST_HEAD, UNTIL_END, ResponseHead
from consent_mw.world.upstream.heads import Heads

if TYPE_CHECKING:
    from consent_mw.world.upstream.connection import Connection

_BEGINS = re.compile(rb"H(?:T(?:T(?:P(?:/.*)?)?)?)?\Z", re.DOTALL)
_NO_TRAILERS: list[bytes] = []


class AnswerReader:
    """Reads the answer to one request. `switched` once what follows is another protocol's."""

    switched = False
    _head: ResponseHead | None = None
    _body: ChunkedBody | None = None
    _left = 0

    def __init__(self, connection: Connection, heads: Heads, *, to_head: bool) -> None:
        self._connection = connection
        self._heads = heads
        self._to_head = to_head
        self._buffer = bytearray()

    @property
    def begun(self) -> bool:
        """Whether the head of the answer is there."""
        return self._head is not None

    @property
    def until_end(self) -> bool:
        """Whether it is the end of the connection that ends the answer."""
        return self._head is not None and self._head.length == UNTIL_END and not self._head.bodiless

    def read(self, data: bytes) -> None:
        """Read these bytes; the connection's listener hears what they are."""
        listener = self._connection.listener
        if self._head is None:
            self._read_heads(data)
        elif not self.switched:
            self._read_body(data)
        elif listener is not None:
            listener.upstream_sends(data)

    def _read_heads(self, data: bytes) -> None:
        """Read the head of the answer, and of the interim ones before it."""
        if self._buffer:
            self._buffer += data
            data = bytes(self._buffer)
            self._buffer.clear()
        while self._head is None and self._connection.listener is not None:
            end = data.find(b"\r\n\r\n")
            if end < 0 or end > LONGEST_HEAD:
                self._wait_for_more(data, end)
                return
            head = self._heads.read(data[:end], to_head=self._to_head)
            data = data[end + 4 :]
            if isinstance(head, str):
                self._connection.fail(head)
                return
            if head.length == len(data) and head.status >= 200 and not head.bodiless:
                self._connection.end_whole(head, data)
                return
            self._take_head(head)
        if self._connection.listener is None or self._head is None:
            return
        if self.switched:
            if data:
                self._connection.listener.upstream_sends(data)
            return
        self._read_body(data)

    def _wait_for_more(self, data: bytes, end: int) -> None:
        if end > 0 or len(data) > LONGEST_HEAD:
            self._connection.fail("its head is too large")
        elif data and (b"\n\n" in data or not _BEGINS.match(data)):
            self._connection.fail("its answer is not HTTP")
        else:
            self._buffer += data

    def _take_head(self, head: ResponseHead) -> None:
        listener = self._connection.listener
        if listener is None:
            return
        if head.status < 200 and head.status != 101:
            listener.upstream_informs(head)
            return
        if head.status == 101:
            options = b",".join(head.all(b"connection")).lower()
            if b"upgrade" not in options or b"upgrade" not in head.seen:
                self._connection.fail("it switched protocols without saying to which")
                return
            self.switched = True
        elif head.length == CHUNKED and not head.bodiless:
            self._body = ChunkedBody()
        self._left = 0 if head.bodiless else head.length
        self._head = head
        listener.upstream_answers(head)

    def _read_body(self, data: bytes) -> None:
        listener = self._connection.listener
        if listener is None:
            return
        if self._body is not None:
            self._read_chunks(self._body, data)
        elif self._left == UNTIL_END:
            if data:
                listener.upstream_sends(data)
        elif len(data) <= self._left:
            self._left -= len(data)
            if data:
                listener.upstream_sends(data)
            if not self._left and self._connection.listener is not None:
                self._end(surplus=False)
        else:
            chunk = data[: self._left]
            self._left = 0
            if chunk:
                listener.upstream_sends(chunk)
            if self._connection.listener is not None:
                self._end(surplus=True)

    def _read_chunks(self, body: ChunkedBody, data: bytes) -> None:
        self._buffer += data
        try:
            chunk = body.take(self._buffer)
        except MalformedBodyError:
            self._connection.fail("its body is malformed")
            return
        if chunk and self._connection.listener is not None:
            self._connection.listener.upstream_sends(chunk)
        if body.done and self._connection.listener is not None:
            surplus = bool(self._buffer)
            self._buffer.clear()
            self._end(surplus=surplus, trailers=body.trailers)

    def _end(self, *, surplus: bool, trailers: list[bytes] = _NO_TRAILERS) -> None:
        keeps = self._head is not None and self._head.keeps and not surplus
        self._connection.end(keeps=keeps, trailers=trailers)
