"""Pictures of pages in few bytes: a palette of the colours that come most, the others as the nearest of them."""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Iterator

COLOURS = 256
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def with_palette(png: bytes) -> bytes:
    """This picture (8 bits of red, green and blue, as Chromium makes them) with a palette."""
    chunks = list(_chunks(png))
    width, height, depth, kind = struct.unpack(">IIBB", chunks[0][1][:10])
    if (depth, kind) != (8, 2):
        raise ValueError("the picture is not of 8 bits of red, green and blue")
    rows = list(_rows(zlib.decompress(b"".join(data for name, data in chunks if name == b"IDAT")), width * 3, height))
    counted = Counter(row[at : at + 3] for row in rows for at in range(0, width * 3, 3))
    palette = [colour for colour, _ in counted.most_common(COLOURS)]
    number = {colour: at for at, colour in enumerate(palette)}
    for colour in counted:
        if colour not in number:
            number[colour] = min(range(len(palette)), key=lambda at: _apart(palette[at], colour))
    packed = b"".join(b"\0" + bytes(number[row[at : at + 3]] for at in range(0, width * 3, 3)) for row in rows)
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = ((b"IHDR", head), (b"PLTE", b"".join(palette)), (b"IDAT", zlib.compress(packed, 9)), (b"IEND", b""))
    return _SIGNATURE + b"".join(_chunk(name, data) for name, data in parts)


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_SIGNATURE)
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        yield png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        at += 12 + length


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _rows(raw: bytes, width: int, height: int) -> Iterator[bytes]:
    """The rows of the picture, with what predicted them put back (PNG 9.2); three bytes a pixel."""
    above = bytearray(width)
    for number in range(height):
        start = number * (width + 1)
        kind, row = raw[start], bytearray(raw[start + 1 : start + 1 + width])
        for at in range(width):
            left = row[at - 3] if at >= 3 else 0
            corner = above[at - 3] if at >= 3 else 0
            up = above[at]
            row[at] = (row[at] + (0, left, up, (left + up) // 2, _paeth(left, up, corner))[kind]) & 255
        above = row
        yield bytes(row)


def _paeth(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    return min((left, up, corner), key=lambda one: abs(guess - one))


def _apart(one: bytes, other: bytes) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))
