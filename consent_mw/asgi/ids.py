"""Ids of events and of the rows that hold them, made without a system call for each.

Rule: an event's id says nothing and cannot be guessed: 128 random bits.
Rule: a row's id is unique, and later ones sort after earlier ones, so that an index grows at its end only.
Rule: a forked process never goes on with the ids of its parent.
"""

from __future__ import annotations

import itertools
import os
import weakref
from typing import Final

MADE_AT_ONCE: Final = 256

_all: weakref.WeakSet[Ids] = weakref.WeakSet()


class Ids:
    """Makes ids."""

    def __init__(self) -> None:
        _all.add(self)
        self.renew()

    def renew(self) -> None:
        """Begin anew, with nothing of what was prepared."""
        self._events: list[str] = []
        self._prefix = os.urandom(6).hex()
        self._numbers = itertools.count(1)

    def event(self) -> str:
        """32 hexadecimal digits."""
        try:
            return self._events.pop()
        except IndexError:
            text = os.urandom(16 * MADE_AT_ONCE).hex()
            self._events.extend(text[at : at + 32] for at in range(32, len(text), 32))
            return text[:32]

    def row(self) -> str:
        """24 hexadecimal digits, half of them this maker's own."""
        return f"{self._prefix}{next(self._numbers):012x}"


def _renew_all() -> None:
    for one in list(_all):
        one.renew()


os.register_at_fork(after_in_child=_renew_all)
