"""The heads of the site's answers that came before, so that one that comes again is not read again.

Rule: a head that came twice is nobody's own, and remembered; of one that came once only a hash is.
"""

from __future__ import annotations

from consent_mw.wire.known import PlainKnown, known
from consent_mw.wire.response_head import ResponseHead, read_response_head

HEADS_KEPT = 512
"""Bound of the heads that are remembered, twice: most say the time, and never come again."""

LONGEST_HEAD_KEPT = 4096

NEVER_WHOLE = -3
"""For a length, of an answer that has no body to be there."""


class Heads:
    """What one process remembers of the heads of answers."""

    def __init__(self) -> None:
        self._known: PlainKnown[ResponseHead] = known(HEADS_KEPT)

    def read(self, raw: bytes, *, to_head: bool) -> ResponseHead | str:
        """What `read_response_head` makes of these bytes. `to_head`: the request was a HEAD."""
        found = None if to_head else self._known.get(raw)
        if found is not None:
            return found
        head = read_response_head(raw, head=to_head)
        if to_head or isinstance(head, str) or head.status < 200 or len(raw) > LONGEST_HEAD_KEPT:
            return head
        if self._known.once(raw):
            head.replies = {}
            self._known.keep(raw, head, NEVER_WHOLE if head.bodiless else head.length, b"")
        return head

    def whole(self, data: bytes) -> tuple[ResponseHead, bytes] | None:
        """The head and the body that these bytes are, where the head came before, and the body is all there."""
        return self._known.answer(data)

    def age(self) -> None:
        """Forget what was not seen for long."""
        self._known.age()

    def forget(self) -> None:
        """Remember no head, nor what was made of it: that was for decisions that are no longer made."""
        self._known.clear()
