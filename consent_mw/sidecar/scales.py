"""The scales: how many connections each worker has, in memory that all of them see.

Rule: a number may be a moment old; it only says who takes the next connection first, never whether it is taken.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from dataclasses import dataclass

NOBODY = 2**32 - 1
"""Stands where no worker is, so that nobody waits for it."""

SLACK = 1
"""Connections that one worker may have more than another before it lets that one go first."""

_BYTES = 4


class Scales:
    """Numbers in a file that has no name, by the worker's index."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._memory = mmap.mmap(descriptor, 0)
        self._numbers = memoryview(self._memory).cast("I")

    @classmethod
    def make(cls, workers: int) -> Scales:
        """Scales for so many workers, none of which is there yet."""
        nobody = NOBODY.to_bytes(_BYTES, "little") * workers
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create("consent-mw")
            os.write(descriptor, nobody)
            return cls(descriptor)
        with tempfile.TemporaryFile(prefix="consent-mw-") as file:
            file.write(nobody)
            file.flush()
            return cls(os.dup(file.fileno()))

    def put(self, index: int, number: int) -> None:
        """This worker has so many connections."""
        self._numbers[index] = number

    def leave(self, index: int) -> None:
        """This worker is gone."""
        self._numbers[index] = NOBODY

    def least(self) -> int:
        """How many the worker with the fewest has."""
        return min(self._numbers)


@dataclass(frozen=True, slots=True)
class Share:
    """One worker's place on the scales."""

    scales: Scales
    index: int

    def note(self, number: int) -> None:
        """This worker has so many connections."""
        self.scales.put(self.index, number)

    def may_wait(self, number: int) -> bool:
        """Note that this worker has so many; whether another one has clearly fewer."""
        self.scales.put(self.index, number)
        return number > self.scales.least() + SLACK
