"""What is remembered between requests: a bounded map whose entries go when they have not been asked for lately.

Rule: two generations: when the young one is full it becomes the old one, and what the old one held is forgotten.
"""

from __future__ import annotations

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Remembered(Generic[K, V]):
    """At most twice `limit` entries."""

    __slots__ = ("_limit", "_old", "_young")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        """What is remembered for this key, or None."""
        found = self._young.get(key)
        if found is not None:
            return found
        found = self._old.get(key)
        if found is not None:
            self.keep(key, found)
        return found

    def keep(self, key: K, value: V) -> V:
        """Remember this value; it is answered, too."""
        if len(self._young) >= self._limit:
            self._old = self._young
            self._young = {}
        self._young[key] = value
        return value

    def forget(self, key: K) -> None:
        """Remember nothing for this key."""
        self._young.pop(key, None)
        self._old.pop(key, None)

    def age(self) -> None:
        """Forget what has not been asked for since the last time."""
        self._old = self._young
        self._young = {}

    def clear(self) -> None:
        """Remember nothing."""
        self._young = {}
        self._old = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def __iter__(self) -> object:
        return iter({**self._old, **self._young})
