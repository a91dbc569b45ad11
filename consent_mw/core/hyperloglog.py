"""HyperLogLog: how many different things were seen, from 4,096 small numbers that tell none of them.

Rule: a sketch is the same whatever the order, the grouping and the repetition of what it saw, so that sketches of
      several processes and machines merge into the one that a single process would have made.
Rule: what is stored begins with its version; what is not exactly as it was written is refused, never guessed at.
Source: Flajolet, Fusy, Gandouet, Meunier, "HyperLogLog" (2007); the estimate is Ertl, "New cardinality estimation
algorithms for HyperLogLog sketches" (2017), algorithm 6, which needs no correction at either end.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Final

PRECISION: Final = 12
"""Bits of a hash that choose a register."""

REGISTERS: Final = 1 << PRECISION

STANDARD_ERROR: Final = 1.04 / math.sqrt(REGISTERS)
"""The relative standard error of an estimate: 1.6 %; smaller for few things."""

MOST: Final = 2.0**52
"""What a sketch that is full is estimated at; no honest one ever is."""

VERSION: Final = 1

_REST: Final = 64 - PRECISION
_RANKS: Final = _REST + 1
_LOW: Final = (1 << _REST) - 1
_ENTRY: Final = 3
_ALPHA: Final = 1 / (2 * math.log(2))


class Sketch:
    """What was seen. `ranks` are the registers that are not zero: index to rank (1 to 53)."""

    __slots__ = ("_ranks",)

    def __init__(self, ranks: Iterable[tuple[int, int]] = ()) -> None:
        self._ranks = dict(ranks)

    def add(self, hashed: int) -> None:
        """See the thing of this hash: 64 bits, each as likely as not."""
        index = hashed >> _REST
        rank = _RANKS - (hashed & _LOW).bit_length()
        if rank > self._ranks.get(index, 0):
            self._ranks[index] = rank

    def merge(self, other: Sketch) -> None:
        """See all that the other one saw."""
        ranks = self._ranks
        for index, rank in other._ranks.items():
            if rank > ranks.get(index, 0):
                ranks[index] = rank

    def estimate(self) -> float:
        """About how many different things were seen."""
        if not self._ranks:
            return 0.0
        counts = self._counts()
        sum_ = REGISTERS * _tau(1 - counts[_RANKS] / REGISTERS)
        for number in reversed(counts[1:_RANKS]):
            sum_ = (sum_ + number) / 2
        sum_ += REGISTERS * _sigma(counts[0] / REGISTERS)
        return min(_ALPHA * REGISTERS**2 / sum_, MOST) if sum_ else MOST

    def to_bytes(self) -> bytes:
        """The sketch as it is stored: a version, then every register or, where that is shorter, those not zero (index
        in two bytes and rank, ascending). Equal sketches have equal bytes."""
        entries = sorted(self._ranks.items())
        if len(entries) * _ENTRY < REGISTERS:
            listed = b"".join(index.to_bytes(2, "big") + bytes((rank,)) for index, rank in entries)
            return bytes((VERSION,)) + listed
        return bytes((VERSION, *(self._ranks.get(index, 0) for index in range(REGISTERS))))

    @classmethod
    def from_bytes(cls, data: bytes) -> Sketch:
        """The sketch that was stored so. Raises ValueError for what no sketch of this version is stored as."""
        if not data or data[0] != VERSION:
            raise ValueError("a sketch of another version")
        body = data[1:]
        return cls(_dense(body) if len(body) == REGISTERS else _sparse(body))

    def _counts(self) -> list[int]:
        """How many registers hold each rank."""
        counts = [0] * (_RANKS + 1)
        for rank in self._ranks.values():
            counts[rank] += 1
        counts[0] = REGISTERS - len(self._ranks)
        return counts

    def __bool__(self) -> bool:
        return bool(self._ranks)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sketch) and self._ranks == other._ranks

    __hash__ = None  # type: ignore[assignment]  # it changes


def _dense(body: bytes) -> Iterator[tuple[int, int]]:
    """The registers of a sketch that tells each; it would have listed them where they are few."""
    if max(body) > _RANKS or (REGISTERS - body.count(0)) * _ENTRY < REGISTERS:
        raise ValueError("a damaged sketch")
    return ((index, rank) for index, rank in enumerate(body) if rank)


def _sparse(body: bytes) -> Iterator[tuple[int, int]]:
    ranks = body[2::_ENTRY]
    if len(body) % _ENTRY or len(body) >= REGISTERS or not all(0 < rank <= _RANKS for rank in ranks):
        raise ValueError("a damaged sketch")
    indexes = [high << 8 | low for high, low in zip(body[::_ENTRY], body[1::_ENTRY], strict=True)]
    if not all(one < after for one, after in pairwise((*indexes, REGISTERS))):
        raise ValueError("a damaged sketch")
    return zip(indexes, ranks, strict=True)


def _sigma(zeros: float) -> float:
    """What registers that are still zero add (Ertl, algorithm 5); `zeros` is their share, below 1."""
    total, power, weight = zeros, zeros, 1.0
    while True:
        power *= power
        before = total
        total += power * weight
        weight *= 2
        if total == before:
            return total


def _tau(below: float) -> float:
    """What registers at the highest rank add; `below` is the share of the others."""
    if below in (0.0, 1.0):
        return 0.0
    total, root, weight = 1 - below, below, 1.0
    while True:
        root = math.sqrt(root)
        before = total
        weight /= 2
        total -= (1 - root) ** 2 * weight
        if total == before:
            return total / 3
