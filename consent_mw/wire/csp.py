"""Content-Security-Policies as a browser reads them: read, narrowed, opened for our own files, written.

Rule: of two directives of one name a browser heeds the first (CSP3 2.2.1); so do we, and write only that one.
Rule: narrowing takes expressions away, or puts narrower ones in their place: the result never allows what the policy
forbade.
Rule: a policy that need not change stays the text that came; in one that does, a directive that need not change does.
Source: W3C Content Security Policy Level 3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from consent_mw.core.hosts import Hosts

NONE = "'none'"
SELF = "'self'"
ANY = "*"
STRICT_DYNAMIC = "'strict-dynamic'"

_ENDS_FETCH = ("-src", "-src-elem", "-src-attr")
_BLANK = " \t\n\f\r"
_SCRIPT = ("script-src-elem", "script-src", "default-src")
_STYLE = ("style-src-elem", "style-src", "default-src")
_FALLBACKS = (
    _SCRIPT, _STYLE, ("connect-src", "default-src"), ("img-src", "default-src"),
    ("frame-src", "child-src", "default-src"), ("font-src", "default-src"), ("media-src", "default-src"),
    ("object-src", "default-src"),
)  # fmt: skip
"""Where a browser looks for what governs a load, first to last (CSP3 6.8.3)."""
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_REMOTE = frozenset({"http:", "https:", "ws:", "wss:"})
_HOST_SOURCE = re.compile(
    r"(?:[a-z][a-z0-9+.-]*://)?(?:(?P<any>\*)|(?P<host>(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)\.?)"
    r"(?::(?P<port>[0-9]+|\*))?(?:/.*)?",
    re.IGNORECASE,
)
_NONCE = re.compile(r"'nonce-([A-Za-z0-9+/_-]+={0,2})'", re.IGNORECASE)


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


@dataclass(frozen=True, slots=True)
class Directive:
    """One directive: its name in lower case, its value, and how it is written."""

    name: str
    value: tuple[str, ...]
    text: str

    @property
    def fetches(self) -> bool:
        """Whether it says where something may be loaded from (CSP3 6.1)."""
        return self.name.endswith(_ENDS_FETCH)

    def has(self, keyword: str) -> bool:
        """Whether this keyword, scheme or `*` is among its expressions."""
        return any(one.lower() == keyword for one in self.value)

    def holding(self, value: Sequence[str], name: str = "") -> Directive:
        """The directive with this value; without one it says `'none'`, which is the same."""
        held = tuple(value) or ((NONE,) if self.fetches else ())
        name = name or self.name
        return Directive(name, held, " ".join((name, *held)))


@dataclass(frozen=True, slots=True)
class ContentPolicy:
    """One policy: the directives that a browser heeds, in order, and how it is written."""

    directives: tuple[Directive, ...]
    text: str

    @property
    def fetches(self) -> bool:
        """Whether it governs any load at all."""
        return any(one.fetches for one in self.directives)

    def get(self, name: str) -> Directive | None:
        """The directive of this name."""
        return next((one for one in self.directives if one.name == name), None)

    def governing(self, names: Sequence[str]) -> Directive | None:
        """The first of these directives that is there (CSP3 6.8.3)."""
        return next((found for found in map(self.get, names) if found is not None), None)

    def replacing(self, changed: Sequence[Directive]) -> ContentPolicy:
        """The policy of these directives; itself where they are its own."""
        return self if tuple(changed) == self.directives else written(changed)

    def having(self, directive: Directive) -> ContentPolicy:
        """The policy with this directive, in the place of its namesake or at the end."""
        if self.get(directive.name) is None:
            return written((*self.directives, directive))
        return written([directive if one.name == directive.name else one for one in self.directives])


def written(directives: Iterable[Directive]) -> ContentPolicy:
    """The policy that these directives make."""
    made = tuple(directives)
    return ContentPolicy(made, "; ".join(one.text for one in made))


def directive(name: str, *value: str) -> Directive:
    """A directive of ours."""
    return Directive(name, value, " ".join((name, *value)))


def read_policies(field: bytes) -> tuple[ContentPolicy, ...]:
    """The policies that one field holds (CSP3 2.2.2); one without a directive that a browser heeds is none."""
    read = (_read_policy(one) for one in field.decode("latin-1").split(","))
    return tuple(one for one in read if one.directives)


def _read_policy(text: str) -> ContentPolicy:
    found: dict[str, Directive] = {}
    for token in text.split(";"):
        plain = token.strip(_BLANK)
        if plain and plain.isascii():
            name, *value = re.split(f"[{_BLANK}]+", plain)
            found.setdefault(name.lower(), Directive(name.lower(), tuple(value), plain))
    return ContentPolicy(tuple(found.values()), text.strip(_BLANK))


@lru_cache(maxsize=4096)
def pattern_of(expression: str) -> Pattern | None:
    """The hosts that a host-source or a vendor's host names; None for any other expression."""
    found = _HOST_SOURCE.fullmatch(expression)
    if found is None:
        return None
    port = found["port"] or ""
    if found["any"]:
        return Pattern("", wild=True, port=port)
    host = found["host"].lower()
    return Pattern(host.removeprefix("*."), host.startswith("*."), "" if port in ("80", "443") else port)


@lru_cache(maxsize=4096)
def denies(hosts: Hosts, source: str) -> bool:
    """Whether all that this source expression, or this address, names is denied: the most specific host that a
    vendor names decides, and where two are alike, an allowed one."""
    named = pattern_of(source)
    if named is None:
        return False
    allowed = [one.specific for one in _patterns(hosts.allowed) if one.covers(named)]
    denied = [one.specific for one in _patterns(hosts.denied) if one.covers(named)]
    return bool(denied) and max(denied) > max(allowed, default=(False, -1, False))


@lru_cache(maxsize=1024)
def _patterns(hosts: tuple[str, ...]) -> tuple[Pattern, ...]:
    return tuple(found for found in map(pattern_of, hosts) if found is not None)


def narrow(policy: ContentPolicy, hosts: Hosts) -> ContentPolicy:
    """The policy without what names denied hosts alone, reports to them included. What also names others (a
    wildcard, a scheme) stays."""
    narrowed = (_narrowed(one, hosts) for one in policy.directives)
    return policy.replacing([one for one in narrowed if one.value or one.name != "report-uri"])


def _narrowed(one: Directive, hosts: Hosts) -> Directive:
    if not one.fetches and one.name != "report-uri":
        return one
    kept = narrowed_sources(one.value, hosts)
    return one if kept == one.value else one.holding(kept)


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


def binds(policies: Sequence[ContentPolicy], hosts: Hosts) -> bool:
    """Whether no denied host can be loaded from by what these policies say: by no wildcard, scheme, nonce or
    `strict-dynamic`, and by nothing being said at all."""
    return all(any(_shut(policy.governing(names), names, hosts) for policy in policies) for names in _FALLBACKS)


def _shut(one: Directive | None, names: Sequence[str], hosts: Hosts) -> bool:
    return one is not None and not any(_passes(source, names, hosts) for source in one.value)


def _passes(source: str, names: Sequence[str], hosts: Hosts) -> bool:
    """Whether this source expression lets something of the denied hosts pass."""
    if source.startswith("'"):
        # A hash of an external script is that script, whoever serves it (CSP3 6.7.1.1).
        lets_code_in = source.lower() == STRICT_DYNAMIC or source.lower().startswith(("'nonce-", "'sha"))
        return lets_code_in and names in (_SCRIPT, _STYLE) and bool(hosts.denied)
    return meets(source, hosts.denied)


def meets(source: str, hosts: Sequence[str]) -> bool:
    """Whether this host-source or scheme-source names something of these hosts."""
    if _SCHEME.fullmatch(source):
        return source.lower() in _REMOTE and bool(hosts)
    named = pattern_of(source)
    return named is not None and any(named.meets(one) for one in _patterns(tuple(hosts)))


@dataclass(frozen=True, slots=True)
class Nonces:
    """The nonces by which a page lets scripts and styles in; empty where it has none."""

    script: str = ""
    style: str = ""


NO_NONCES = Nonces()


def nonces_of(policies: Iterable[ContentPolicy]) -> Nonces:
    """The nonces that markup of ours carries on a page under these policies: the first of each kind."""
    under = tuple(policies)
    return Nonces(_nonce(under, _SCRIPT), _nonce(under, _STYLE))


def _nonce(policies: Sequence[ContentPolicy], names: Sequence[str]) -> str:
    governing = (policy.governing(names) for policy in policies)
    found = (_NONCE.fullmatch(source) for one in governing if one is not None for source in one.value)
    return next((one[1] for one in found if one is not None), "")


@dataclass(frozen=True, slots=True)
class Own:
    """What is let in: where our files are, and where our routes are, as source expressions."""

    files: str
    routes: str


def let_in(policy: ContentPolicy, own: Own, nonces: Nonces) -> ContentPolicy:
    """The policy that our own script, style, state and forms pass, and nothing else that did not.

    Where `strict-dynamic` stands without this page's nonce, no address lets our script in; the banner does without.
    """
    policy = _admit(policy, _SCRIPT, own.files, nonces.script)
    policy = _admit(policy, _STYLE, own.files, nonces.style)
    policy = _admit(policy, ("connect-src", "default-src"), own.routes)
    return _admit(policy, ("form-action",), own.routes)


def _admit(policy: ContentPolicy, names: Sequence[str], source: str, nonce: str = "") -> ContentPolicy:
    governing = policy.governing(names)
    if governing is None or governing.has(SELF) or governing.has(ANY):
        return policy
    if names is _SCRIPT and governing.has(STRICT_DYNAMIC):
        return policy
    if source in governing.value or (nonce and f"'nonce-{nonce}'" in governing.value):
        return policy
    # What stands in for several kinds of loads must not open all of them: the kind gets a directive of its own.
    kind = names[-2] if governing.name == "default-src" else governing.name
    kept = [one for one in governing.value if one.lower() != NONE]
    return policy.having(governing.holding((*kept, source), kind))


def reporting(policy: ContentPolicy, address: str, group: str) -> ContentPolicy | None:
    """The policy that also reports to this address (and by this group, unless empty); None where it names a group
    of its own, which is then the only one that a browser heeds."""
    if policy.get("report-to") is not None:
        return None
    uri = policy.get("report-uri")
    if uri is not None:
        return policy if address in uri.value else policy.having(uri.holding((*uri.value, address)))
    said = policy.having(directive("report-uri", address))
    return said.having(directive("report-to", group)) if group else said


def without_reporting(policy: ContentPolicy) -> ContentPolicy:
    """The policy that reports to nobody."""
    return policy.replacing([one for one in policy.directives if one.name not in ("report-uri", "report-to")])
