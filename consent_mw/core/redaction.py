"""Redaction: what looks like personal data in free-form text is masked, and counted.

Rule: a mark says what kind of thing stood there, never anything of it.
Rule: ordinary slugs, dates, versions and counters stay; what is checksummed is only masked if the sum is right.
Rule: what is percent-encoded is looked at decoded as well; it stays encoded where nothing was in it.
Rule: text is cut only after it was masked, so that no half of a thing is left at the end.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote, unquote

LONGEST_TEXT = 4096
"""Characters of a free-form value that are let through; the rest is cut."""

_LONGEST_READ = 4 * LONGEST_TEXT
_LONGEST_THING = 512
"""What is cut off besides where not all of a text was read: something may have stood across the end."""

# A percent sign that encodes an at sign ends a local part, however often it was encoded again.
_AT = r"(?:@|\uff20|%(?:25)*40)"
_LOCAL = r"(?:[\w.!#$'*+^`{|}~-]|%(?!(?:25)*40))"
_LABEL = r"(?:[^\W_]|-){1,63}"
_EMAIL = re.compile(
    rf"(?:(?<![\w.!#$'*+^`{{|}}~%-])|(?<=%40)){_LOCAL}++{_AT}{_LABEL}(?:(?:\.|%(?:25)*2e){_LABEL})+", re.IGNORECASE
)
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?")
_DASH = r"[ \u2010-\u2015-]"
_SSN = re.compile(
    rf"(?<![0-9])(?<![0-9]-)(?!000|666|9)[0-9]{{3}}({_DASH})(?!00)[0-9]{{2}}\1(?!0000)[0-9]{{4}}(?!-?[0-9])"
)
# No letter bounds it, since `card4111…` is as telling; the sum keeps ordinary numbers.
_CARD = re.compile(r"(?<![0-9])[0-9](?:(?:%20|[ .+\u2010-\u2015-])?[0-9]){12,}")
_TOKEN = re.compile(r"(?<![A-Za-z0-9_+-])[A-Za-z0-9_+-]{20,}")
_GAP = r"(?:[ ().\u2010-\u2015-]|%20|%28|%29)"
_INTERNATIONAL = re.compile(
    rf"(?:(?<![0-9])(?:\+|%2B)|(?<![0-9A-Za-z])00)[1-9](?:{_GAP}{{0,3}}[0-9])+", re.IGNORECASE
)
_NORTH_AMERICAN = re.compile(
    r"(?<![0-9])(?<![0-9][.-])(?:1[ .-])?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[ .-])[0-9]{3}[ .-][0-9]{4}(?![0-9])"
)
# With a trunk zero: three groups or a long second one, as dates do not have; or French pairs.
_NATIONAL = re.compile(
    r"(?<![0-9])(?<![0-9][.-])\(?0[1-9](?:[0-9]{1,3}\)?[ -][0-9]{3,4}[ -]?[0-9]{3,4}|(?:[ .-][0-9]{2}){4})(?![0-9])"
)

_HEX = re.compile(r"(?<![0-9a-z])[0-9a-f]{16,19}(?![0-9a-z])", re.IGNORECASE)
_AS_THEY_ARE = " /:@!$&'()*+,;=~-._?#[]"

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_TIMESTAMP = re.compile(r"[0-9]{8}T[0-9]{4,6}Z?")
_TURNS = re.compile(r"(?<=[a-z])(?=[0-9])|(?<=[0-9])(?=[a-z])", re.IGNORECASE)
_CASES = re.compile(r"(?<=[a-z])(?=[A-Z])")


def mask(text: str) -> tuple[str, tuple[str, ...]]:
    """The text with what looks like personal data masked, and the kind of each thing that was."""
    shown, kinds = _masked(text)
    plain = _decoded(text[:_LONGEST_READ]) if "%" in text else text
    if plain == text:
        return shown, kinds
    decoded, found = _masked(plain)
    if len(found) <= len(kinds):
        return shown, kinds
    return quote(decoded, safe=_AS_THEY_ARE if " " in text else _AS_THEY_ARE[1:], errors="replace")[
        :LONGEST_TEXT
    ], found


def _decoded(text: str) -> str:
    """The text without percent-encoding, however often it was encoded within reason."""
    for _ in range(3):
        plain = unquote(text)
        if plain == text:
            break
        text = plain
    return text


def _masked(text: str) -> tuple[str, tuple[str, ...]]:
    kinds: list[str] = []

    def marking(kind: str, holds: Callable[[str], bool]) -> Callable[[re.Match[str]], str]:
        def replace(found: re.Match[str]) -> str:
            if not holds(found[0]):
                return found[0]
            kinds.append(kind)
            return f"[{kind}]"

        return replace

    shown = text[:_LONGEST_READ]
    for pattern, kind, holds in _KINDS:
        shown = pattern.sub(marking(kind, holds), shown)
    if len(text) > _LONGEST_READ:
        shown = shown[: max(len(shown) - _LONGEST_THING, 0)]
    return shown[:LONGEST_TEXT], tuple(kinds)


def _always(_found: str) -> bool:
    return True


def _holds_card(found: str) -> bool:
    """Whether consecutive groups of these digits make a card number, whatever stands before or after them.

    Cards of the schemes in use begin with 2 to 6, which milliseconds since 1970 do not.
    """
    groups = re.findall("[0-9]+", found.replace("%20", " "))
    for first, opening in enumerate(groups):
        if opening[0] not in "23456":
            continue
        digits = ""
        for group in groups[first : first + 19]:
            digits += group
            if len(digits) > 19:
                break
            if len(digits) >= 13 and _is_card(digits):
                return True
    return False


def _is_card(found: str) -> bool:
    """Whether the digits pass the Luhn check (ISO/IEC 7812-1)."""
    digits = [int(one) for one in found]
    doubled = (2 * one - 9 * (one > 4) for one in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _is_phone(found: str) -> bool:
    digits = re.sub("%2[089B]", "", found, flags=re.IGNORECASE)
    return 8 <= sum(one.isdigit() for one in digits.removeprefix("00")) <= 15


def _is_token(found: str) -> bool:
    """Whether this is a random-looking run, and not words and numbers joined by hyphens."""
    if _UUID.search(found):
        return True
    parts = [part for part in re.split(r"[-_+]", found) if part and not _TIMESTAMP.fullmatch(part)]
    if any(len(part) >= 20 and any(map(str.isdigit, part)) for part in parts):
        return True
    random = [len(part) for part in parts if _is_random(part)]
    return bool(random) and (max(random) >= 16 or sum(random) >= 18)


def _is_hex(found: str) -> bool:
    """Whether digits and letters are as mixed as in no word or number."""
    return len(_TURNS.findall(found)) >= 3


def _is_random(part: str) -> bool:
    """Whether digits and letters alternate as in no word: `a1b2`, not `part2`, `h264` or `2nd`."""
    turns = len(_TURNS.findall(part))
    return turns >= 2 or (turns == 1 and (len(_CASES.findall(part)) > 0 or len(part) >= 16))


_KINDS: tuple[tuple[re.Pattern[str], str, Callable[[str], bool]], ...] = (
    (_EMAIL, "email", _always),
    (_JWT, "token", _always),
    (_SSN, "ssn", _always),
    (_TOKEN, "token", _is_token),
    (_HEX, "token", _is_hex),
    (_CARD, "card", _holds_card),
    (_INTERNATIONAL, "phone", _is_phone),
    (_NORTH_AMERICAN, "phone", _always),
    (_NATIONAL, "phone", _always),
)

KINDS = tuple(dict.fromkeys(kind for _, kind, _ in _KINDS))
"""What is masked, by the words that it is marked and counted with."""
