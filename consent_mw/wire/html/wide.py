"""Pages in UTF-16: they are read as UTF-8, and go out as they came.

Rule: only the first bytes of a page tell; what they do not tell is not UTF-16.
Source: WHATWG Encoding 6 (BOM sniff), WHATWG HTML 13.2.3.2 (an XML declaration).
"""

from __future__ import annotations

import codecs
from typing import Final

LONGEST_MARK: Final = 4
"""Bytes that are needed to tell."""

_MARKS: Final = (
    (b"\xfe\xff", "utf-16-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\0<\0?", "utf-16-be"),
    (b"<\0?\0", "utf-16-le"),
)


def coding_of(first: bytes) -> str:
    """The coding of a page in UTF-16 that begins so; empty for any other page."""
    return next((name for mark, name in _MARKS if first.startswith(mark)), "")


class Wide:
    """One page in this coding."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._reads = codecs.getincrementaldecoder(coding)("surrogatepass")
        self._writes = codecs.getincrementaldecoder("utf-8")("surrogatepass")

    def forth(self, chunk: bytes) -> bytes:
        """This part of the page in UTF-8."""
        return self._reads.decode(chunk).encode("utf-8", "surrogatepass")

    def last(self) -> tuple[bytes, bytes]:
        """What waited for its other half, in UTF-8; and the byte of a page that ends within a letter, as it came."""
        waited = self._reads.getstate()[0]
        whole = len(waited) // 2 * 2
        return waited[:whole].decode(self._coding, "surrogatepass").encode("utf-8", "surrogatepass"), waited[whole:]

    def back(self, chunk: bytes) -> bytes:
        """This part of the edited page as it goes out."""
        return self._writes.decode(chunk).encode(self._coding, "surrogatepass")
