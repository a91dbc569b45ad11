"""TC strings: what a person consented to by a consent platform of the IAB's framework. Read, never written.

Rule: only a registered platform makes such a string; here it is decoded, and goes on as it came.
Rule: what is not a whole string of version 2 for this site alone is no string.
Source: IAB TCF v2.3, "Consent string and vendor list formats".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from consent_mw.wire.bits import Bits, BitsError

LONGEST: Final = 16_384
"""Characters of a string that are read."""

OLDEST_POLICY: Final = 4
"""The policy version that strings since TCF v2.2 have at least."""

NO_INTEREST: Final = frozenset({1, 3, 4, 5, 6})
"""Purposes that a legitimate interest can never stand for (TCF policies, since v2.2)."""

Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class TcString:
    """One string: when it was made (seconds since 1970), by which platform, the TCF purposes that were consented to
    and those with a legitimate interest that nobody objected to, special features, and the ids of the vendors, as
    ranges in order: consented to, with an interest, and disclosed."""

    created: int
    cmp_id: int
    policy_version: int
    purposes: frozenset[int]
    interests: frozenset[int]
    features: frozenset[int]
    vendors: Ranges
    vendor_interests: Ranges
    disclosed: Ranges

    def permits(self, purposes: frozenset[int]) -> bool:
        """Whether every one of these TCF purposes stands on a consent, or on an interest where one may be enough."""
        return purposes <= self.purposes | (self.interests - NO_INTEREST)


def read_tc_string(text: str) -> TcString | None:
    """What this string says; None where it is none."""
    if len(text) > LONGEST or not text.isascii():
        return None
    core, *others = text.split(".")
    try:
        return _core(Bits(core), _disclosed(others))
    except BitsError:
        return None


def _core(bits: Bits, disclosed: Ranges) -> TcString | None:
    version, created, updated = bits.number(6), bits.number(36), bits.number(36)
    cmp_id = bits.number(12)
    # The platform's version and screen, its language (two letters), the version of its vendor list.
    bits.skip(12 + 6 + 12 + 12)
    policy, of_this_site = bits.number(6), bits.flag()
    if version != 2 or policy < OLDEST_POLICY or not of_this_site or updated < created:
        return None
    bits.skip(1)  # texts of the platform's own
    features, purposes, interests = bits.set(12), bits.set(24), bits.set(24)
    bits.skip(1 + 12)  # purpose one, the publisher's country
    vendors, vendor_interests = _vendors(bits), _vendors(bits)
    for _ in range(bits.number(12)):
        bits.skip(6 + 2)
        _ranges(bits)
    return TcString(
        created // 10, cmp_id, policy, purposes, interests, features, vendors, vendor_interests, disclosed
    )


def _vendors(bits: Bits) -> Ranges:
    highest = bits.number(16)
    if bits.flag():
        return _ranges(bits)
    return _as_ranges(sorted(bits.set(highest)))


def _ranges(bits: Bits) -> Ranges:
    found = []
    for _ in range(bits.number(12)):
        several = bits.flag()
        start = bits.number(16)
        end = bits.number(16) if several else start
        if start > end:
            raise BitsError("a range ends before it begins")
        found.append((start, end))
    return tuple(sorted(found))


def _as_ranges(numbers: list[int]) -> Ranges:
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return tuple(found)


def _disclosed(segments: list[str]) -> Ranges:
    for segment in segments:
        bits = Bits(segment)
        if bits.number(3) == 1:
            return _vendors(bits)
    return ()
