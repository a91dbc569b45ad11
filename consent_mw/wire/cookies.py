"""Cookies in both directions: split and filtered without touching a byte that stays.

Rule: read as browsers write them (RFC 6265bis 5.6); nothing is unquoted, decoded or re-serialised.
Rule: every duplicate of a name is treated alike; a cookie without a name has the name ``b""``.
Rule: a Set-Cookie is only ever made shorter-lived and safer, attribute by attribute; a deletion passes as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from typing import Final

from consent_mw.core.terms import SameSite
from consent_mw.wire.native import native

LONGEST_ATTRIBUTE = 1024
"""Octets beyond which a browser ignores an attribute's value (RFC 6265bis 5.6)."""

LONGEST_PAIR = 4096
"""Octets of name and value beyond which a browser drops the whole cookie."""

LONGEST_LIFE = 999_999_999_999
"""Seconds that a lifetime is read as at most; browsers keep nothing for longer than 400 days."""

IN_COOKIES = bytes([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)])
"""The octets that a browser takes in a Set-Cookie line."""

_SECONDS = re.compile(rb"-?[0-9]+")
_DATE_PARTS = re.compile(rb"[\x09\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+")
_MONTHS = {
    name: number
    for number, name in enumerate(
        (b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"), start=1
    )
}
_SAME_SITE_ORDER = {b"none": 0, b"lax": 1, b"strict": 2}
_PREFIXES = (b"__secure-", b"__host-", b"__http-")
_WRITABLE_NAME = re.compile(rb"[^\x00-\x20\x7f;=]+")
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(rb"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*")
_DOMAIN = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*", re.IGNORECASE)
_PATH = re.compile(r"/[\x21-\x3a\x3c-\x7e]*")


@dataclass(frozen=True, slots=True)
class Cookie:
    """One cookie of a request: its name, its value, and the bytes that it came as."""

    name: bytes
    value: bytes
    raw: bytes


def split_cookies(values: Sequence[bytes]) -> list[Cookie]:
    """The cookies of all Cookie fields, joined first (RFC 9113 8.2.3); empty segments are none."""
    return [_cookie(raw) for raw in b"; ".join(values).split(b";") if raw.strip(b" \t")]


def pieces(joined: bytes) -> list[tuple[bytes, bytes]]:
    """The name and the bytes of each cookie of the joined Cookie fields; empty segments are none."""
    found: list[tuple[bytes, bytes]] = []
    for raw in joined.split(b";"):
        name, separator, _ = raw.partition(b"=")
        name = name.strip(b" \t")
        if separator:
            found.append((name, raw))
        elif name:
            found.append((b"", raw))
    return found


def _pieces_named(joined: bytes, names: tuple[bytes, ...]) -> list[tuple[bytes, bytes]]:
    return [piece for piece in pieces(joined) if piece[0] in names]


def _remaining(joined: bytes, known: dict[bytes, bool], keeps: Callable[[bytes], bool]) -> bytes | None:
    found = pieces(joined)
    kept: list[bytes] = []
    for name, raw in found:
        keep = known.get(name)
        if keep or (keep is None and keeps(name)):
            kept.append(raw)
    return rejoin(joined, kept, whole=len(kept) == len(found))


def _called(joined: bytes, known: dict[bytes, str], call: Callable[[bytes], str]) -> frozenset[str]:
    return frozenset(known[name] if name in known else call(name) for name, _ in pieces(joined))


pieces_named: Final = _pieces_named if native is None else native.pieces_named
"""Those of the pieces that have one of these names."""

remaining: Final = _remaining if native is None else native.remaining
"""What remains of the joined Cookie fields when only the names stay that `known` says so of, or that `keeps` answers
for where it says nothing; None if nothing does.

If nothing is dropped it is the very bytes that came; else empty segments and the blanks at both ends go as well,
which no field value may have. `keeps` is not asked about an empty segment."""

called: Final = _called if native is None else native.called
"""What the cookies of the joined Cookie fields are called, each once: as `known` says of their names, or as `call`
answers where it says nothing."""


def rejoin(joined: bytes, kept: Sequence[bytes], *, whole: bool) -> bytes | None:
    """The Cookie field of what is kept: the very bytes that came where that is the whole; None for nothing."""
    if whole:
        return joined if kept else None
    return b";".join(kept).strip(b" \t") or None


@dataclass(frozen=True, slots=True)
class SetCookie:
    """A Set-Cookie line as a browser reads it. `attributes` are (lower-case name, value) in order."""

    name: bytes
    value: bytes
    attributes: tuple[tuple[bytes, bytes], ...]

    @classmethod
    def parse(cls, raw: bytes) -> SetCookie | None:
        """The cookie of this line, or None where a browser would drop the line (RFC 6265bis 5.6)."""
        if raw.translate(None, IN_COOKIES):
            return None
        pair, *rest = raw.split(b";")
        name, separator, value = pair.partition(b"=")
        if not separator:
            name, value = b"", pair
        name, value = name.strip(b" \t"), value.strip(b" \t")
        if len(name) + len(value) > LONGEST_PAIR or not (name or value):
            return None
        # Sent back, its value would read as the name of a prefixed cookie.
        if not name and value.lower().startswith(_PREFIXES):
            return None
        return cls(name, value, tuple(_attribute(part) for part in rest))

    def attribute(self, name: bytes) -> bytes | None:
        """The value that counts for this attribute (the last one wins), or None."""
        return next((value for key, value in reversed(self.attributes) if key == name), None)

    def lifetime(self, now: int) -> int | None:
        """Seconds that a browser keeps this from now; None for a session cookie. Max-Age beats Expires."""
        for key, value in reversed(self.attributes):
            if key == b"max-age" and _SECONDS.fullmatch(value):
                return min(int(value), LONGEST_LIFE)
        for key, value in reversed(self.attributes):
            expires = cookie_date(value) if key == b"expires" else None
            if expires is not None:
                return expires - now
        return None

    @property
    def dated(self) -> bool:
        """Whether its lifetime hangs on the clock: on Expires, without a Max-Age that counts."""
        names = {key for key, value in self.attributes if key != b"max-age" or _SECONDS.fullmatch(value)}
        return b"expires" in names and b"max-age" not in names

    def is_deletion(self, now: int) -> bool:
        """Whether this removes the cookie from the browser."""
        lifetime = self.lifetime(now)
        return lifetime is not None and lifetime <= 0


def bound_set_cookie(raw: bytes, *, lasts: int | None, secure: bool, same_site: SameSite | None, now: int) -> bytes:
    """The line within its bounds: no longer than `lasts` seconds, `Secure` and `SameSite` at least as asked.

    Untouched bytes where it is within them already; a deletion and a line that no browser takes stay as they are.
    """
    parsed = SetCookie.parse(raw)
    if parsed is None or parsed.is_deletion(now):
        return raw
    lifetime = parsed.lifetime(now)
    if lasts is not None and lifetime is not None and lifetime > lasts:
        raw = _with(_without(raw, b"max-age", b"expires"), b"Max-Age=%d" % lasts)
    if same_site is not None and _weaker(parsed.attribute(b"samesite"), same_site):
        raw = _with(_without(raw, b"samesite"), b"SameSite=" + same_site.value.capitalize().encode())
    # SameSite=None without Secure is dropped by browsers, so the floor `none` needs Secure as well.
    if (secure or same_site is SameSite.NONE) and parsed.attribute(b"secure") is None:
        raw = _with(raw, b"Secure")
    return raw


def make_set_cookie(
    name: bytes,
    value: bytes,
    *,
    max_age: int,
    domain: str | None = None,
    http_only: bool = True,
    secure: bool = True,
    same_site: str = "Lax",
    path: str = "/",
) -> bytes:
    """A Set-Cookie line of ours. Raises ValueError for an argument that could break out of it."""
    if not _TOKEN.fullmatch(name):
        raise ValueError("name is not a cookie name")
    if not _VALUE.fullmatch(value):
        raise ValueError("value is not a cookie value")
    if domain and not _DOMAIN.fullmatch(domain):
        raise ValueError("domain is not a domain")
    if not _PATH.fullmatch(path):
        raise ValueError("path is not a path")
    if same_site not in ("Strict", "Lax", "None"):
        raise ValueError("same_site is not Strict, Lax or None")
    line = name + b"=" + value + b"; Max-Age=%d; Path=%s" % (max_age, path.encode())
    if domain:
        line += b"; Domain=" + domain.encode()
    if secure:
        line += b"; Secure"
    if http_only:
        line += b"; HttpOnly"
    return line + b"; SameSite=" + same_site.encode()


def expire_cookies(name: bytes, same_party: Sequence[str], host: str) -> list[bytes]:
    """Lines that delete this cookie, host-only and for those of our domains that the host belongs to.

    `*.NAME` names NAME and all beneath it, so every domain between NAME and the host, too. A name that cannot be
    written gets none; it need not be a token, as a cookie of ours must: what browsers take must be deletable. Secure
    is always said, and HttpOnly where a prefix needs it: prefixed cookies are deleted by nothing less, and plain ones
    by it as well on a site that is served securely.
    """
    if not _WRITABLE_NAME.fullmatch(name):
        return []
    prefix = name.lower()
    needed = b"; Secure; HttpOnly" if prefix.startswith((b"__http-", b"__host-http-")) else b"; Secure"
    gone = name + b"=; Max-Age=0; Expires=" + formatdate(0, usegmt=True).encode() + b"; Path=/"
    domains = [] if prefix.startswith(b"__host-") else _domains_of(host, same_party)
    return [gone + needed, *(gone + b"; Domain=" + one.encode() + needed for one in domains)]


def cookie_date(text: bytes) -> int | None:
    """Seconds since 1970 of a cookie date, by the browser's forgiving algorithm (RFC 6265bis 5.1.1), or None."""
    clock: tuple[int, int, int] | None = None
    day = month = year = None
    for part in _DATE_PARTS.split(text):
        if clock is None and (found := re.match(rb"(\d{1,2}):(\d{1,2}):(\d{1,2})(?!\d)", part)):
            clock = (int(found[1]), int(found[2]), int(found[3]))
        elif day is None and (found := re.match(rb"(\d{1,2})(?!\d)", part)):
            day = int(found[1])
        elif month is None and part[:3].lower() in _MONTHS:
            month = _MONTHS[part[:3].lower()]
        elif year is None and (found := re.match(rb"(\d{2,4})(?!\d)", part)):
            year = _full_year(int(found[1]))
    if clock is None or day is None or month is None or year is None:
        return None
    return _seconds(year, month, day, clock)


def _domains_of(host: str, same_party: Sequence[str]) -> list[str]:
    """The domains of ours that a cookie of this host may be for, none twice; an address has none."""
    name = host.partition(":")[0].lower()
    if not _DOMAIN.fullmatch(name) or name.rpartition(".")[2].isdecimal():
        return []
    found: dict[str, None] = {}
    for party in same_party:
        domain = party.removeprefix("*.").removeprefix(".").lower()
        if name == domain or name.endswith("." + domain):
            found[domain] = None
            beneath = name.removesuffix(domain).rstrip(".") if party.startswith("*.") else ""
            for label in reversed(beneath.split(".") if beneath else []):
                domain = f"{label}.{domain}"
                found[domain] = None
    return list(found)


def _full_year(year: int) -> int:
    if 70 <= year <= 99:
        return year + 1900
    return year + 2000 if year <= 69 else year


def _seconds(year: int, month: int, day: int, clock: tuple[int, int, int]) -> int | None:
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    length = 29 if month == 2 and leap else (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[month - 1]
    if year < 1601 or not 1 <= day <= length or clock[0] > 23 or clock[1] > 59 or clock[2] > 59:
        return None
    # Days since 1970-01-01 in the proleptic Gregorian calendar, with the year beginning in March.
    y = year - (month <= 2)
    days = 365 * y + y // 4 - y // 100 + y // 400 + (153 * ((month + 9) % 12) + 2) // 5 + day - 1 - 719_468
    return days * 86_400 + clock[0] * 3600 + clock[1] * 60 + clock[2]


def _cookie(raw: bytes) -> Cookie:
    name, separator, value = raw.partition(b"=")
    if not separator:
        return Cookie(b"", raw.strip(b" \t"), raw)
    return Cookie(name.strip(b" \t"), value.strip(b" \t"), raw)


def _attribute(part: bytes) -> tuple[bytes, bytes]:
    name, _, value = part.partition(b"=")
    value = value.strip(b" \t")
    # A value this long is as if the attribute were not there.
    return (b"", b"") if len(value) > LONGEST_ATTRIBUTE else (name.strip(b" \t").lower(), value)


def _with(raw: bytes, attribute: bytes) -> bytes:
    return raw.rstrip(b" \t;") + b"; " + attribute


def _without(raw: bytes, *names: bytes) -> bytes:
    pair, *rest = raw.split(b";")
    return b";".join([pair, *(part for part in rest if part.partition(b"=")[0].strip(b" \t").lower() not in names)])


def _weaker(said: bytes | None, floor: SameSite) -> bool:
    if said is None:
        return True
    # An unknown value is the browser's default, Lax-like or none: weaker than any floor but `none`.
    return _SAME_SITE_ORDER.get(said.lower(), 0) < _SAME_SITE_ORDER[floor.value.encode()]
