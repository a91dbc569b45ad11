"""Answers: the heads that an app answered with before, so that what was made of one is found and not made again.

Rule: a head is found by all that it says; one that came once only leaves a hash behind.
Rule: what was made of it is an Exchange's to judge: it is given again by the same decision alone (see `Bearing`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from consent_mw.wire.known import PlainKnown, block, known
from consent_mw.wire.response_head import ResponseHead, head_of

HEADS_KEPT: Final = 512
"""Bound of the heads that are remembered, twice."""

Pair = tuple[bytes, bytes]


class Answers:
    """The answers of one app."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Remember none."""
        self._known: PlainKnown[ResponseHead] = known(HEADS_KEPT)

    def again(self, status: int, headers: object) -> ResponseHead | None:
        """The head of these parts, if it came twice before."""
        return self._known.headers(headers, str(status), 0.0)

    def head(self, status: int, headers: Iterable[Pair]) -> ResponseHead:
        """The head of these parts; `replies` is there from the second time on."""
        said = list(headers)
        found = self.again(status, said)
        if found is not None:
            return found
        head, key = head_of(status, said), block(said, str(status))
        if key is not None and self._known.once(key):
            head.replies = {}
            self._known.keep(key, head, 0.0, b"")
        return head
