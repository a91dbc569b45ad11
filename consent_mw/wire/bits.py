"""Bits of web-safe base64 text, read from the front: the ground that the strings of TCF and GPP stand on.

Rule: what reads past the end is an error of the text, never a zero.
Source: IAB TCF v2.3 and GPP, "Base64url encoding" and "Fibonacci encoding".
"""

from __future__ import annotations

from typing import Final

_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_SIX: Final = {char: format(value, "06b") for value, char in enumerate(_ALPHABET)}
_FIBONACCI: Final = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987, 1597, 2584, 4181, 6765, 10946)


class BitsError(ValueError):
    """The text is not what it should be; it never leaves wire/."""


class Bits:
    """Reads one text. Raises BitsError for a character that is not of the alphabet."""

    def __init__(self, text: str) -> None:
        try:
            self._bits = "".join([_SIX[char] for char in text.rstrip("=")])
        except KeyError:
            raise BitsError("a character is not web-safe base64") from None
        self._at = 0

    def number(self, width: int) -> int:
        """The next bits as a number."""
        return int(self._take(width), 2)

    def flag(self) -> bool:
        """The next bit."""
        return self._take(1) == "1"

    def set(self, width: int) -> frozenset[int]:
        """The places, from 1, of the ones among the next bits."""
        return frozenset(place for place, bit in enumerate(self._take(width), 1) if bit == "1")

    def skip(self, width: int) -> None:
        """Read over these bits."""
        self._take(width)

    def fibonacci(self) -> int:
        """The next number in Fibonacci coding, which two ones end."""
        end = self._bits.find("11", self._at)
        width = end + 1 - self._at
        if end < 0 or width > len(_FIBONACCI):
            raise BitsError("a Fibonacci number has no end")
        bits = self._take(width)
        self.skip(1)
        return sum(value for value, bit in zip(_FIBONACCI, bits, strict=False) if bit == "1")

    def _take(self, width: int) -> str:
        found = self._bits[self._at : self._at + width]
        if len(found) != width:
            raise BitsError("the text ends too early")
        self._at += width
        return found
