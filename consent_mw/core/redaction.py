"""Redaction: what looks like personal data in free-form text is masked, and counted.

Rule: a mark says what kind of thing stood there, never anything of it.
Rule: ordinary slugs, dates, versions and counters stay; what is checksummed is only masked if the sum is right.
"""

from __future__ import annotations

import re
from collections.abc import Callable

LONGEST_TEXT = 4096
"""Characters of a free-form value that are looked at and let through; the rest is cut."""

_EMAIL = re.compile(r"[A-Za-z0-9._%+'-]{1,64}(?:@|%40)[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+", re.IGNORECASE)
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?")
_CARD = re.compile(r"(?<![0-9A-Za-z])[0-9](?:[ -]?[0-9]){12,18}(?![0-9A-Za-z])")
_SSN = re.compile(r"(?<![0-9A-Za-z-])(?!000|666|9)[0-9]{3}-(?!00)[0-9]{2}-(?!0000)[0-9]{4}(?![0-9A-Za-z-])")
_PHONE = re.compile(
    r"(?<![0-9A-Za-z])(?:(?:\+|%2B|00)[1-9]|\(?[0-9]{3}\)?[ .-][0-9]{3}[ .-][0-9]{2})[0-9 ().-]{2,18}(?![A-Za-z])"
)
_TOKEN = re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{20,}(?![A-Za-z0-9_-])")


def mask(text: str) -> tuple[str, int]:
    """The text with what looks like personal data masked, and how many things were."""
    count = 0

    def marking(mark: str, holds: Callable[[str], bool]) -> Callable[[re.Match[str]], str]:
        def replace(found: re.Match[str]) -> str:
            nonlocal count
            if not holds(found[0]):
                return found[0]
            count += 1
            return mark

        return replace

    shown = text[:LONGEST_TEXT]
    for pattern, mark, holds in _KINDS:
        shown = pattern.sub(marking(mark, holds), shown)
    return shown, count


def _always(_found: str) -> bool:
    return True


def _is_card(found: str) -> bool:
    """Whether the digits pass the Luhn check (ISO/IEC 7812-1) and begin as card numbers do."""
    digits = [int(one) for one in found if one.isdigit()]
    if digits[0] not in (2, 3, 4, 5, 6):
        return False
    doubled = (2 * one - 9 * (one > 4) for one in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _is_phone(found: str) -> bool:
    return 9 <= sum(one.isdigit() for one in found) <= 15


def _is_token(found: str) -> bool:
    """Whether this is a random-looking run: digits among letters, and not words joined by hyphens."""
    parts = re.split(r"[-_]", found)
    if len(found) == 36 and [len(part) for part in parts] == [8, 4, 4, 4, 12]:
        return True
    longest = max(parts, key=len)
    digits = sum(one.isdigit() for one in longest)
    mixed = digits >= 2 and len(longest) - digits >= 2
    camel = (
        any(one.islower() for one in found) and any(one.isupper() for one in found) and any(map(str.isdigit, found))
    )
    return (len(longest) >= 16 and mixed) or (len(found) >= 20 and camel and len(longest) >= 10)


_KINDS: tuple[tuple[re.Pattern[str], str, Callable[[str], bool]], ...] = (
    (_EMAIL, "[email]", _always),
    (_JWT, "[token]", _always),
    (_SSN, "[ssn]", _always),
    (_CARD, "[card]", _is_card),
    (_TOKEN, "[token]", _is_token),
    (_PHONE, "[phone]", _is_phone),
)
