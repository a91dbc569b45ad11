"""The head of a request while it arrives: cut off where it ends, and refused as soon as it can be none.

Rule: what is looked through once is not looked through again, however slowly a head comes.
Rule: one empty line before a request is allowed for (RFC 9112 2.2), and one only.
"""

from __future__ import annotations

import re
from typing import Final

from consent_mw.wire.request_head import LONGEST_HEAD, LONGEST_TARGET, Refusal

_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")


class Arriving:
    """Looks for the heads of one connection's requests, one after another."""

    def __init__(self) -> None:
        self._searched = 0
        self._skipped = False

    def take(self, buffer: bytearray) -> bytes | Refusal | None:
        """Remove a head from the buffer, once it is whole; None before, and why it can never be one."""
        if not self._skipped and buffer.startswith(b"\r\n"):
            self._skipped = True
            del buffer[:2]
        if not buffer:
            return None
        found = _HEAD_END.search(buffer, self._searched, LONGEST_HEAD + 4)
        if found is None:
            self._searched = max(0, len(buffer) - 3)
            return _too_long(buffer)
        self._searched = 0
        self._skipped = False
        raw = bytes(buffer[: found.end()])
        del buffer[: found.end()]
        return raw


def _too_long(buffer: bytearray) -> Refusal | None:
    if len(buffer) > LONGEST_TARGET + 32 and b"\n" not in buffer[: LONGEST_TARGET + 32]:
        return Refusal(414, f"the request target is longer than {LONGEST_TARGET} bytes")
    if len(buffer) > LONGEST_HEAD:
        return Refusal(431, f"the request's head is longer than {LONGEST_HEAD} bytes")
    return None
