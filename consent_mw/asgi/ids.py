"""Ids of events and of the rows that hold them, made without a system call for each.

Rule: an event's id says nothing and cannot be guessed: 128 bits that a keyed BLAKE2b makes of a random key and a
      counter (RFC 7693 2.9), since the system's own source of them gives the interpreter lock away.
Rule: a row's id is unique, and later ones sort after earlier ones, so that an index grows at its end only.
Rule: a forked process never goes on with the ids of its parent.
"""

from __future__ import annotations

import itertools
import os
import weakref
from hashlib import blake2b

_all: weakref.WeakSet[Ids] = weakref.WeakSet()


class Ids:
    """Makes ids."""

    def __init__(self) -> None:
        _all.add(self)
        self.renew()

    def renew(self) -> None:
        """Begin anew, with nothing of what was prepared."""
        self._events: list[str] = []
        self._key = os.urandom(64)
        self._prefix = os.urandom(6).hex()
        self._blocks = itertools.count()
        self._numbers = itertools.count(1)

    def event(self) -> str:
        """32 hexadecimal digits."""
        try:
            return self._events.pop()
        except IndexError:
            block = next(self._blocks).to_bytes(8, "big")
            made = blake2b(block, key=self._key, digest_size=64).hexdigest()
            self._events.extend((made[32:64], made[64:96], made[96:]))
            return made[:32]

    def row(self) -> str:
        """24 hexadecimal digits, half of them this maker's own."""
        return f"{self._prefix}{next(self._numbers):012x}"


def _renew_all() -> None:
    for one in list(_all):
        one.renew()


os.register_at_fork(after_in_child=_renew_all)
