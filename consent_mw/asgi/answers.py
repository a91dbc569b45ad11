"""Answers: the heads that an app answered with before, so that what was made of one is found and not made again.

Rule: a head is found by all that it says; one that came once only leaves a hash behind.
Rule: what was made of it is an Exchange's to judge: it is given again by the same decision alone (see `Bearing`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from consent_mw.wire.remembered import Remembered
from consent_mw.wire.response_head import ResponseHead, head_of

HEADS_KEPT: Final = 512
"""Bound of the heads that are remembered, twice."""

ONCE_KEPT: Final = 2048
"""Bound of the hashes of those that came once, twice."""

LONGEST_KEPT: Final = 4096
"""Bytes of a head beyond which it is not remembered."""

Pair = tuple[bytes, bytes]


class Answers:
    """The answers of one app."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Remember none."""
        self._heads: Remembered[tuple[int, tuple[Pair, ...]], ResponseHead] = Remembered(HEADS_KEPT)
        self._once: Remembered[int, bool] = Remembered(ONCE_KEPT)

    def head(self, status: int, headers: Iterable[Pair]) -> ResponseHead:
        """The head of these parts; `replies` is there from the second time on."""
        said = tuple(headers)
        key = (status, said)
        try:
            known = self._heads.get(key)
        except TypeError:
            # Not of tuples and bytes; an app may answer so, but its answer is no key.
            return head_of(status, said)
        if known is not None:
            return known
        head, found = head_of(status, said), hash(key)
        if sum(len(name) + len(value) for name, value in said) > LONGEST_KEPT:
            return head
        if self._once.get(found):
            head.replies = {}
            return self._heads.keep(key, head)
        self._once.keep(found, True)
        return head
