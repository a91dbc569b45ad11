"""What source expressions and vendors' hosts name, and whether that is denied.

Rule: the most specific host that a vendor names decides; where two are alike, an allowed one.
Source: W3C Content Security Policy Level 3, 2.3.1 and 6.7.2.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from urllib.parse import urlsplit

from consent_mw.core.hosts import Hosts

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_REMOTE = frozenset({"http:", "https:", "ws:", "wss:"})
_HOST_SOURCE = re.compile(
    r"(?:[a-z][a-z0-9+.-]*://)?(?:(?P<any>\*)|(?P<host>(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)\.?)"
    r"(?::(?P<port>[0-9]+|\*))?(?:/.*)?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Pattern:
    """The hosts that an expression names: one, all beneath it (`wild`), or with an empty `host` every one. A `port`
    is a number, `*`, or empty, which among vendors' hosts is any and in a policy is the scheme's own."""

    host: str
    wild: bool = False
    port: str = ""

    @property
    def specific(self) -> tuple[bool, int, bool]:
        """What is greater is said more exactly."""
        return not self.wild, len(self.host), bool(self.port)

    def covers(self, other: Pattern) -> bool:
        """Whether every host that the other names is one of these."""
        if self.port and self.port != other.port:
            return False
        if self.wild:
            return other.host.endswith("." + self.host) or (other.wild and other.host == self.host)
        return other.host == self.host and not other.wild

    def meets(self, other: Pattern) -> bool:
        """Whether some host is named by both; ports aside, since a page may use any."""
        if not self.host or not other.host:
            return True
        alone, beyond = replace(self, port=""), replace(other, port="")
        return alone.covers(beyond) or beyond.covers(alone)


def pattern_in(expression: str) -> Pattern | None:
    """The hosts that a host-source or a vendor's host names; None for any other expression. Nothing is remembered of
    what it reads."""
    found = _HOST_SOURCE.fullmatch(expression)
    if found is None:
        return None
    port = found["port"] or ""
    if found["any"]:
        return Pattern("", wild=True, port=port)
    host = found["host"].lower()
    return Pattern(host.removeprefix("*."), host.startswith("*."), "" if port in ("80", "443") else port)


pattern_of = lru_cache(maxsize=4096)(pattern_in)
"""The same, remembered: for what the site and its policy say, never for what a visitor does."""


@lru_cache(maxsize=4096)
def denies(hosts: Hosts, source: str) -> bool:
    """Whether all that this source expression names is denied: the most specific host that a vendor names decides,
    and where two are alike, an allowed one."""
    named = pattern_of(source)
    if named is None:
        return False
    allowed = [one.specific for one in _patterns(hosts.allowed) if one.covers(named)]
    denied = [one.specific for one in _patterns(hosts.denied) if one.covers(named)]
    return bool(denied) and max(denied) > max(allowed, default=(False, -1, False))


def leads_to_denied(address: str, hosts: Hosts) -> bool:
    """Whether this address, on whatever page it stands, is at a denied host."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        return False
    return bool(host) and denies(hosts, f"{host}:{port}" if port else f"{host}")


@lru_cache(maxsize=1024)
def _patterns(hosts: tuple[str, ...]) -> tuple[Pattern, ...]:
    return tuple(found for found in map(pattern_of, hosts) if found is not None)


def narrowed_sources(sources: Sequence[str], hosts: Hosts) -> tuple[str, ...]:
    """These source expressions without those that name denied hosts alone; of a wildcard among these, what belongs to
    allowed vendors stays."""
    return tuple(
        kept
        for one in sources
        for kept in ((one,) if one.startswith("'") or not denies(hosts, one) else _spared(one, hosts.allowed))
    )


def _spared(source: str, allowed: Sequence[str]) -> tuple[str, ...]:
    """The expressions for what these hosts are of all that this one names."""
    found, named = _HOST_SOURCE.fullmatch(source), pattern_of(source)
    if found is None or named is None or not named.wild:
        return ()
    before, after = source[: found.start("host")], source[found.end("host") :]
    inside = (one for one in _patterns(tuple(allowed)) if named.covers(replace(one, port=named.port)))
    return tuple(
        f"{before}{'*.' if one.wild else ''}{one.host}{after}" for one in inside if one.port in ("", named.port)
    )


def meets(source: str, hosts: Sequence[str]) -> bool:
    """Whether this host-source or scheme-source names something of these hosts."""
    if _SCHEME.fullmatch(source):
        return source.lower() in _REMOTE and bool(hosts)
    named = pattern_of(source)
    return named is not None and any(named.meets(one) for one in _patterns(tuple(hosts)))
