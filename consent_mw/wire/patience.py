"""Patience: how much of what costs us and gains nobody one peer may do, before it is told to go.

Rule: it is lent out at once and comes back slowly, so that a burst is forgiven and a flood is not.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Patience:
    """`most` acts at once, and `per_second` more with time."""

    most: float
    per_second: float
    _left: float = field(init=False)
    _at: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self._left = self.most

    def lasts(self, now: float, cost: float = 1.0) -> bool:
        """Whether it lasts after this act as well. `now` in seconds, never going back."""
        if self._at:
            self._left = min(self.most, self._left + (now - self._at) * self.per_second)
        self._at = now
        self._left -= cost
        return self._left >= 0
