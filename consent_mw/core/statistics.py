"""First-party statistics: how and when pages are visited, and by how many people, without keeping who.

Rule: a visitor is counted by a hash under a random key that exists for one day (UTC); the hash is not kept either,
      only the register of a sketch that it may have raised: of an hour until that is over, of a day until that is.
Rule: the hash is another one on each page, so that no two sketches tell of the same person, however few there are.
Rule: days have different keys, so that nobody is recognised from one to the next: visitors of several days are those
      of each, added up.
Rule: how much is stored is not a visitor's choice: so many pages an hour, and the rest together as `OTHER`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2s
from typing import Final, NamedTuple

from consent_mw.core.hyperloglog import Sketch
from consent_mw.core.policy import DAY

HOUR: Final = 3600
HOURS: Final = 24

GRACE: Final = 600
"""Seconds after an hour's or a day's end in which what was seen in it still comes in."""

PAGES_AN_HOUR: Final = 1000
"""Pages that are told apart in one hour; what a site answers to any path it is asked for is no bound."""

KEY_BYTES: Final = 32
NO_KEY: Final = b""
"""The key of a day that is over."""

SITE: Final = ""
"""What stands for all pages together."""

OTHER: Final = "(other)"
"""What stands for the pages beyond the bound, and for those with too long a path. Visitors of it are not counted."""

_USE: Final = b"views"


class By(StrEnum):
    """What views are told by."""

    HOUR = "hour"
    DAY = "day"
    PAGE = "page"


class Seen(NamedTuple):
    """What one process saw of a page (or of `SITE`) in an hour (of those since 1970); `sketch` as it is stored, or
    empty where no visitor was counted."""

    hour: int
    page: str
    views: int
    sketch: bytes


Sketched = tuple[int, str, bytes]
"""An hour or a day that is not over, a page, and a sketch of it."""


class Tally:
    """The views of one page (or of `SITE`) in one hour, under the key of its day; without a key no visitor counts."""

    __slots__ = ("_seed", "_sketch", "page", "views")

    def __init__(self, page: str, key: bytes) -> None:
        self.page = page
        self.views = 0
        self._sketch = Sketch()
        seeded = blake2s(page.encode() + b"\0", key=key, digest_size=8, person=_USE) if key else None
        self._seed = None if page == OTHER else seeded

    def see(self, views: int, visitor: str) -> None:
        """Count these views of one visitor; an empty one is nobody who may be counted."""
        self.views += views
        if visitor and self._seed is not None:
            hashing = self._seed.copy()
            hashing.update(visitor.encode())
            self._sketch.add(int.from_bytes(hashing.digest(), "big"))

    def seen(self, hour: int) -> Seen:
        """What the store gets of it."""
        return Seen(hour, self.page, self.views, self._sketch.to_bytes() if self._sketch else b"")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: views and visitors by `by`, from the day `first` to the day `last` (since 1970, UTC; both
    included), of the pages that `pattern` names (exact, or with one trailing `*`), or of all."""

    by: By
    first: int
    last: int
    pattern: str = ""

    @property
    def several(self) -> bool:
        """Whether one row may stand for several pages, so that a visitor of two of them counts twice."""
        return self.by is not By.PAGE and self.pattern.endswith("*")


class Stored(NamedTuple):
    """What a store holds of the answer: views by bucket (an hour, a day or a page), visitors by bucket as far as what
    they came in is over, and sketches by the hour (where it is asked by hour) or the day."""

    views: Sequence[tuple[int | str, int]]
    visitors: Sequence[tuple[int | str, int]]
    sketches: Sequence[Sketched]


class Row(NamedTuple):
    """One row of the answer; `visitors` counts each once a day (once an hour where that is what is asked by)."""

    bucket: int | str
    views: int
    visitors: int


def is_over(end: float, now: float) -> bool:
    """Whether what ended then is over at `now`, its grace included."""
    return now >= end + GRACE


def day_is_over(day: int, now: float) -> bool:
    """Whether this day is over, so that its key must be gone."""
    return is_over((day + 1) * DAY, now)


def merged(sketch: bytes, other: bytes) -> bytes:
    """Both stored sketches as one."""
    both = _read(sketch)
    both.merge(_read(other))
    return both.to_bytes()


def sound(sketch: bytes) -> bytes:
    """This sketch, as another process made it. Raises ValueError for a damaged one."""
    return Sketch.from_bytes(sketch).to_bytes()


def visitors(sketches: Iterable[Sketched]) -> dict[tuple[int, str], int]:
    """The visitors of each hour or day and page: who is in several of its sketches is one."""
    united: dict[tuple[int, str], Sketch] = {}
    for time, page, sketch in sketches:
        united.setdefault((time, page), Sketch()).merge(_read(sketch))
    return {of: round(sketch.estimate()) for of, sketch in united.items()}


def rows(question: Question, stored: Stored) -> list[Row]:
    """The answer, in the order of time, or of views where it is by page."""
    found: Counter[int | str] = Counter(dict(stored.visitors))
    for (time, page), number in visitors(stored.sketches).items():
        found[page if question.by is By.PAGE else time] += number
    told = [Row(bucket, views, found[bucket]) for bucket, views in stored.views]
    return sorted(told, key=lambda one: (-one.views, one.bucket) if question.by is By.PAGE else (one.bucket,))


def _read(sketch: bytes) -> Sketch:
    """The stored sketch; one that was damaged since saw nobody, so that no day can fail to end."""
    try:
        return Sketch.from_bytes(sketch)
    except ValueError:
        return Sketch()
