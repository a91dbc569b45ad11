"""Bodies: framed by a length or by chunks, read strictly, so that no byte belongs to two messages.

Rule: a body takes its own bytes from the buffer and leaves the next request's.
Rule: a chunk that two readers could measure differently is refused; trailers are checked.
Source: RFC 9112 6.2, 7.1.
"""

from __future__ import annotations

import re
from typing import Final, Protocol

LONGEST_CHUNK_LINE: Final = 4096
LONGEST_TRAILER: Final = 65_536
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")
_FIELD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*")


class MalformedBodyError(ValueError):
    """The body cannot be framed one way only; the message is a sentence."""


class RequestBody(Protocol):
    """A body that is being read. `done` once it is whole."""

    done: bool
    trailers: list[bytes]

    def take(self, buffer: bytearray) -> bytes:
        """Remove this body's bytes from the buffer; what they carry. Raises MalformedBodyError."""


class LengthBody:
    """A body of a known number of bytes."""

    def __init__(self, length: int) -> None:
        self._left = length
        self.done = length == 0
        self.trailers: list[bytes] = []

    def take(self, buffer: bytearray) -> bytes:
        """Remove this body's bytes from the buffer."""
        chunk = bytes(buffer[: self._left])
        del buffer[: len(chunk)]
        self._left -= len(chunk)
        self.done = self._left == 0
        return chunk


class ChunkedBody:
    """A body in chunks; extensions are dropped, the lines of its trailers kept."""

    def __init__(self) -> None:
        self.done = False
        self.trailers: list[bytes] = []
        self._left = 0
        self._after_data = False
        self._trailer: int | None = None

    def take(self, buffer: bytearray) -> bytes:
        """Remove what is whole of this body from the buffer; the data of its chunks."""
        carried = bytearray()
        while not self.done:
            if self._left:
                chunk = buffer[: self._left]
                if not chunk:
                    break
                carried += chunk
                del buffer[: len(chunk)]
                self._left -= len(chunk)
                self._after_data = self._left == 0
                continue
            line = _line(buffer)
            if line is None:
                break
            self._read_line(line)
        return bytes(carried)

    def _read_line(self, line: bytes) -> None:
        if self._after_data:
            if line:
                raise MalformedBodyError("a chunk is longer than it says")
            self._after_data = False
            return
        if self._trailer is not None:
            self._read_trailer(line)
            return
        found = _CHUNK_LINE.fullmatch(line)
        if found is None:
            raise MalformedBodyError("a chunk size is malformed")
        self._left = int(found[1], 16)
        if not self._left:
            self._trailer = 0

    def _read_trailer(self, line: bytes) -> None:
        if not line:
            self.done = True
            return
        self._trailer = (self._trailer or 0) + len(line)
        if self._trailer > LONGEST_TRAILER or not _FIELD.fullmatch(line):
            raise MalformedBodyError("the trailers are malformed or too long")
        self.trailers.append(line)


def _line(buffer: bytearray) -> bytes | None:
    """Remove one line, which must end in CR LF, from the buffer; None while it is not whole."""
    end = buffer.find(b"\n", 0, LONGEST_CHUNK_LINE)
    if end < 0:
        if len(buffer) >= LONGEST_CHUNK_LINE:
            raise MalformedBodyError("a chunk's line is too long")
        return None
    line = bytes(buffer[: end + 1])
    del buffer[: end + 1]
    if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
        raise MalformedBodyError("a chunk's line does not end in CR LF")
    return line[:-2]


def body_of(length: int | None) -> RequestBody:
    """The reader of a body of this length; None is a chunked one."""
    return ChunkedBody() if length is None else LengthBody(length)
