"""What is known of heads that came before, found by all of their bytes: one look from a head to what became of it.

Rule: at most twice `limit` heads are known; which of them go first is as in `Remembered`.
Rule: most heads never come again, so that what came once may leave a hash behind, and nothing else.
Rule: found is only what is the same in every byte; a request may ask for another target.
Rule: headers that came one by one are found by the block of them, which no others have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from consent_mw.wire.native import native
from consent_mw.wire.remembered import Remembered
from consent_mw.wire.request_head import target_of

V = TypeVar("V")

LONGEST_LIMIT = 1 << 24
LONGEST_BLOCK: Final = 4096
"""Bytes of a block beyond which headers have none."""

ONCE_PER_KEPT = 4
"""How many are known to have come once, for each that is known."""


class PlainKnown(Generic[V]):
    """Known, in Python."""

    def __init__(self, limit: int, seed: int) -> None:
        """`seed` is anything that nobody outside can guess; here dictionaries have their own."""
        if not 1 <= limit <= LONGEST_LIMIT:
            raise ValueError("limit is not between 1 and 16777216")
        self._kept: Remembered[bytes, tuple[V, float, bytes]] = Remembered(limit)
        self._once: Remembered[int, bool] = Remembered(limit * ONCE_PER_KEPT)

    def keep(self, key: bytes, value: V, number: float, sent: bytes, /) -> None:
        """Know this of a head, or of a block of fields: `number` and `sent` are for `request` and `answer`."""
        self._kept.keep(key, (value, number, sent))

    def once(self, key: bytes, /) -> bool:
        """Whether this was asked of it before, lately; that it was is all that is remembered, by a hash."""
        found = hash(key)
        before = self._once.get(found) is not None
        self._once.keep(found, True)
        return before

    def get(self, key: bytes, /) -> V | None:
        """What is known of this, or None."""
        found = self._kept.get(key)
        return None if found is None else found[0]

    def request(self, raw: bytes, now: float, apart: tuple[bytes, ...], /) -> tuple[V, bytes] | None:
        """What is known of the block of this GET, and the line of the GET with what is `sent` after it; None where
        the block is not known or was so until `number`, the line is not sound, or its target begins with one of
        `apart`."""
        line, end, block = raw.partition(b"\r\n")
        target = target_of(line, b"GET")
        if not end or target is None or target.startswith(apart):
            return None
        found = self._kept.get(block)
        return None if found is None or now > found[1] else (found[0], line + found[2])

    def answer(self, raw: bytes, /) -> tuple[V, bytes] | None:
        """What is known of the head of this answer, and its body, where that is whole: of `number` bytes."""
        head, end, body = raw.partition(b"\r\n\r\n")
        found = self._kept.get(head) if end else None
        return None if found is None or found[1] != len(body) else (found[0], body)

    def headers(self, headers: object, more: object, now: float, /) -> V | None:
        """What is known of the `block` of these, until its `number`; None where nothing is."""
        key = _block(headers, more)
        found = None if key is None else self._kept.get(key)
        return None if found is None or now > found[1] else found[0]

    def age(self) -> None:
        """Forget what has not been asked for since the last time."""
        self._kept.age()

    def clear(self) -> None:
        """Know nothing."""
        self._kept.clear()
        self._once.clear()

    def __len__(self) -> int:
        return len(self._kept)


def known(limit: int) -> PlainKnown[V]:
    """A Known of nothing yet, native where that is built."""
    made: type[PlainKnown[V]] = PlainKnown if native is None else native.Known
    # What a hash of this process makes of a word is as hard to guess as its dictionaries are.
    return made(limit, hash("known"))


def _block(headers: object, more: object) -> bytes | None:
    if not isinstance(headers, list) or not isinstance(more, str):
        return None
    try:
        parts = [more.encode()]
    except UnicodeEncodeError:
        return None
    for pair in headers:
        if not isinstance(pair, tuple) or len(pair) != 2 or type(pair[0]) is not bytes or type(pair[1]) is not bytes:
            return None
        parts += pair
    made = b"\n".join([*parts, b""])
    return made if len(made) <= LONGEST_BLOCK and made.count(b"\n") == len(parts) else None


block: Final[Callable[[object, object], bytes | None]] = _block if native is None else native.block
"""The bytes by which these headers (a list of pairs of bytes) are found, with what is `more` (a str) to be the same;
None for what is long or unusual."""
