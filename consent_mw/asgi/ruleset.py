"""The Ruleset: one policy compiled for the request path, and the pure look-ups a request makes of it.

Rule: everything here is worked out when a policy loads; a reload makes another Ruleset and swaps it.
Rule: every cache has a bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final
from urllib.parse import unquote_to_bytes

from consent_mw.asgi.csp import Accused
from consent_mw.asgi.enforcement import Enforcement
from consent_mw.asgi.jar import Jar
from consent_mw.asgi.observe import Observation
from consent_mw.asgi.pages import Banner
from consent_mw.asgi.telling import Telling
from consent_mw.asgi.wording import Wording
from consent_mw.core.account import OTHER, Account, Named
from consent_mw.core.decision import Decision
from consent_mw.core.facts import Refusals
from consent_mw.core.policy import CookieRule, Policy
from consent_mw.core.terms import Mode, Whereabouts
from consent_mw.core.whereabouts import Location, Settled, settle
from consent_mw.wire.address import IpAddress, Trust, read_address
from consent_mw.wire.cookies import SetCookie, called, make_set_cookie
from consent_mw.wire.fields import look_at
from consent_mw.wire.remembered import Remembered

Headers = list[tuple[bytes, bytes]]

WELL_KNOWN: Final = b"/.well-known/"
DNT_RESOURCE: Final = b"/.well-known/dnt/"
GPC_RESOURCE: Final = b"/.well-known/gpc.json"
CONSENT_COOKIES: Final = (b"__Host-consent", b"__Secure-consent")
"""The consent cookie without and with `cookie_domain`; both are read, so that changing that forgets no answer."""

PLACES_KEPT: Final = 8192
"""Bound of the addresses whose place is remembered, twice."""

JARS_KEPT: Final = 1024
"""Bound of the Cookie fields that are remembered, twice."""

LONGEST_JAR_KEPT: Final = 4096
"""Bytes of cookies beyond which they are not remembered."""

SETTLED_KEPT: Final = 1024
"""Bound of the locations of which the jurisdiction is remembered, twice."""

BANNERS_KEPT: Final = 512
"""Bound of the banners that are remembered, twice: by decision and language."""

DECISIONS_KEPT: Final = 1024
"""Bound of the decisions of which is remembered what they do."""

NAMES_KEPT: Final = 8192
"""Bound of the cookie names whose rule is remembered; names come from visitors, so they are not trusted to be few."""

BEARINGS_KEPT: Final = 1024
"""Bound of what bears on replies; a method is for visitors to choose, so they are not trusted to be few."""

ACCOUNTS_KEPT: Final = 1024
"""Bound of the accounts that are remembered, twice: most requests have theirs in common with others."""

LONGEST_ENDED_KEPT: Final = 4096
"""Bytes of the lines that end cookies beyond which they bear on no other reply: a visitor chooses how many there are,
and each name makes a line for every domain of the site's."""

LONGEST_KEPT: Final = 256
"""Bytes of a visitor's text beyond which it is not kept as a key of any cache."""


@dataclass(slots=True)
class Place:
    """Where one visitor is. `number` stands for what a decision takes of this: the jurisdiction and how it was
    found."""

    settled: Settled
    client: IpAddress | None
    number: int

    @property
    def address(self) -> str:
        """The visitor's address; empty where it is not known."""
        return "" if self.client is None else str(self.client)


AccountKey = tuple[Enforcement, str, Named | None, Refusals]
BearingKey = tuple[Enforcement, bool, bool, bool, bytes, bool, tuple[bytes, ...], bool]


@dataclass(frozen=True, slots=True, eq=False)
class Bearing:
    """All of a request that bears on a reply which is given again; one object each, so that it is found by itself.
    `ended` are the lines by which cookies end that the browser still sends after a no; a `newcomer` may be given an
    identifier, which is theirs alone and no part of what is given again."""

    enforcement: Enforcement
    document: bool
    frame: bool
    fetched: bool
    method: bytes
    cookies: bool
    ended: tuple[bytes, ...]
    newcomer: bool


class Route(Enum):
    """What becomes of a request: passed through untouched, answered by us, or handed on under the policy."""

    PASS = auto()
    OURS = auto()
    FORWARD = auto()


class Ruleset:
    """One policy, with what the request path looks up in it."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.enforced = policy.mode is Mode.ENFORCE
        self.shared = policy.site.shared_pages
        self.partial = policy.scope.percent < 100
        self.edits = self.enforced and not self.shared
        self.trust = Trust(policy.client_address.trusted, policy.client_address.header)
        self.address_header = policy.client_address.header.lower().encode()
        self.prefix = policy.site.prefix.rstrip("/").encode()
        self.accused = Accused(policy)
        domain = policy.site.cookie_domain
        self.consent_cookie = CONSENT_COOKIES[1 if domain else 0]
        self.cookie_domain = domain or None
        self.identifier_cookie = policy.identifier.cookie.encode() if policy.identifier else b""
        self.identifier_line = _identifier_line(policy)
        self.own_names = tuple(name for name in (*CONSENT_COOKIES, self.identifier_cookie) if name)
        self.own_cookies = frozenset(self.own_names)
        self.carriers = tuple(rule for rule in policy.signals.values() if rule.cookie)
        self._carried = frozenset(rule.cookie.encode() for rule in self.carriers)
        self.own_parties = (domain,) if domain else ()
        self._exact = frozenset(one.encode() for one in policy.scope.exclude if not one.endswith("*"))
        self._under = tuple(one[:-1].encode() for one in policy.scope.exclude if one.endswith("*"))
        self.apart = (self.prefix, WELL_KNOWN)
        self.excluding = bool(self._exact or self._under)
        self._rules: dict[bytes, CookieRule | None] = {}
        # Here and not in the gate, so that a reload can never pair a place with another policy's jurisdiction.
        self.places: Remembered[tuple[str, bytes], Place] = Remembered(PLACES_KEPT)
        self._enforcements: dict[str, Enforcement] = {}
        self._bearings: dict[BearingKey, Bearing] = {}
        self._accounts: Remembered[AccountKey, Account] = Remembered(ACCOUNTS_KEPT)
        self._called: dict[bytes, str] = {}
        self._own = frozenset(one.decode() for one in self.own_names)
        self._peers: Remembered[str, bool] = Remembered(PLACES_KEPT)
        self._settled: Remembered[tuple[tuple[Location, ...], bool], tuple[Settled, int]] = Remembered(SETTLED_KEPT)
        self._countries: dict[str, tuple[Settled, int]] = {}
        self._numbers: dict[tuple[str, Whereabouts], int] = {}
        self.jars: Remembered[bytes, Jar] = Remembered(JARS_KEPT)
        self.unanswered: dict[int, Enforcement] = {}
        self.wording = Wording(policy)
        self.telling = Telling()
        self.banners: Remembered[tuple[str, str], Banner | None] = Remembered(BANNERS_KEPT)
        self.no_cookies = Jar(enforced=self.unanswered)
        look_at(self.address_header)

    def forget(self) -> None:
        """Remember nothing of visitors; to be told when others are in force. What is under way asks once more."""
        self._enforcements.clear()
        self._bearings.clear()
        self._accounts.clear()
        self.unanswered.clear()
        self.jars.clear()
        self.places.clear()

    def route(self, path: bytes) -> Route:
        """Where a request for this raw path (without its query) goes."""
        if not path.startswith(self.apart):
            return Route.PASS if self.excluding and self.excludes(path) else Route.FORWARD
        if path.startswith(self.prefix) and path[len(self.prefix) : len(self.prefix) + 1] in (b"", b"/"):
            return Route.OURS
        if path.startswith(DNT_RESOURCE) or path == GPC_RESOURCE:
            return Route.OURS
        return Route.PASS if self.excludes(path) else Route.FORWARD

    def excludes(self, path: bytes) -> bool:
        """Whether `[scope] exclude` names this path; one that two readers could take for two places is not."""
        if not self.excluding:
            return False
        plain = unquote_to_bytes(path)
        if b"%2f" in path.lower() or any(
            one in plain for one in (b"\\", b"//", b"\0", b"%2e", b"%2E", b"%2f", b"%2F")
        ):
            return False
        # Some servers cut a segment's parameters off before they look for dots (`/api/..;/page`).
        if any(segment.partition(b";")[0] in (b".", b"..") for segment in plain.split(b"/")):
            return False
        return plain in self._exact or any(plain.startswith(prefix) for prefix in self._under)

    def cookie_rule(self, name: bytes) -> CookieRule | None:
        """The rule that names this cookie, remembered."""
        try:
            return self._rules[name]
        except KeyError:
            pass
        rule = self.policy.cookie_rule(name.decode("latin-1"))
        if len(name) <= LONGEST_KEPT:
            if len(self._rules) >= NAMES_KEPT:
                self._rules.clear()
            self._rules[name] = rule
        return rule

    def keeps(self, name: bytes, decision: Decision) -> bool:
        """Whether a cookie of this name may pass, in either direction; our own never do."""
        if name in self.own_cookies:
            return False
        if name in self._carried:
            return True
        rule = self.cookie_rule(name)
        if rule is None:
            return self.policy.keep_unlisted
        return rule.purpose in decision.allowed

    def essential(self, raw: bytes, now: int) -> bool:
        """Whether this Set-Cookie line is essential, or deletes."""
        parsed = SetCookie.parse(raw)
        if parsed is None:
            return False
        rule = self.cookie_rule(parsed.name)
        purpose = self.policy.purpose(rule.purpose) if rule is not None else None
        return parsed.is_deletion(now) or (purpose is not None and purpose.essential)

    def enforcement(self, decision: Decision) -> Enforcement:
        """What this decision does, worked out once."""
        known = self._enforcements.get(decision.digest)
        if known is None:
            if len(self._enforcements) >= DECISIONS_KEPT:
                self._enforcements.clear()
            known = self._enforcements[decision.digest] = Enforcement(self, decision)
        return known

    def bearing(
        self, enforcement: Enforcement, asked: Observation, ended: tuple[bytes, ...], newcomer: bool
    ) -> Bearing | None:
        """What bears on the reply to this request, if nothing else does; None where that is too much to remember."""
        if sum(map(len, ended)) > LONGEST_ENDED_KEPT:
            return None
        cookies = b"cookie" in asked.seen
        key = (enforcement, asked.document, asked.frame, asked.fetched, asked.method, cookies, ended, newcomer)
        known = self._bearings.get(key)
        if known is None:
            if len(self._bearings) >= BEARINGS_KEPT:
                self._bearings.clear()
            known = self._bearings[key] = Bearing(*key)
        return known

    def account(self, enforcement: Enforcement, place: Place, jar: Jar) -> Account:
        """What is kept of a request with these cookies, from this place, that this was decided about."""
        named = jar.named
        if named is None:
            many = len(jar.joined) > LONGEST_JAR_KEPT
            named = jar.named = None if many else called(jar.joined, self._called, self._call)
        location = place.settled.location
        country = "" if location is None else location.country
        key = (enforcement, country, named, jar.refusals)
        known = self._accounts.get(key)
        if known is None:
            known = self._accounts.keep(key, Account(enforcement.decision, country, named, jar.refusals, self._own))
        return known

    def _call(self, name: bytes) -> str:
        """What the policy calls a cookie of this name, remembered."""
        rule = self.cookie_rule(name)
        if rule is not None:
            called = rule.pattern
        else:
            called = name.decode() if name in self.own_cookies or name in self._carried else OTHER
        if len(name) <= LONGEST_KEPT:
            if len(self._called) >= NAMES_KEPT:
                self._called.clear()
            self._called[name] = called
        return called

    def trusts(self, peer: str) -> bool:
        """Whether this peer's forwarding fields are believed; one on a unix socket is if anybody is."""
        known = self._peers.get(peer)
        if known is None:
            known = self._peers.keep(peer, bool(self.trust) and (not peer or read_address(peer) in self.trust))
        return known

    def place(self, locations: tuple[Location, ...], readable: bool, client: IpAddress | None) -> Place:
        """Where the client at this address is, which the databases located so."""
        one = locations[0] if readable and len(locations) == 1 else None
        # Most often there is a country, and nothing else.
        country = one.country if one is not None and not (one.region or one.city) else ""
        known = self._countries.get(country) or self._settled.get((locations, readable))
        if known is None:
            settled = settle(locations, readable, self.policy)
            what = (settled.jurisdiction.name, settled.whereabouts)
            number = self._numbers.setdefault(what, len(self._numbers))
            known = self._settled.keep((locations, readable), (settled, number))
        if country and country not in self._countries and len(self._countries) < SETTLED_KEPT:
            self._countries[country] = known
        return Place(known[0], client, known[1])


def _identifier_line(policy: Policy) -> tuple[bytes, bytes]:
    """The Set-Cookie line of an identifier, before its token and after it."""
    rule = policy.identifier
    if rule is None:
        return b"", b""
    name = rule.cookie.encode()
    line = make_set_cookie(name, b"", max_age=rule.lasts, domain=policy.site.cookie_domain or None)
    return line[: len(name) + 1], line[len(name) + 1 :]
