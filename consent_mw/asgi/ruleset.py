"""The Ruleset: one policy compiled for the request path, and the pure look-ups a request makes of it.

Rule: everything here is worked out when a policy loads; a reload makes another Ruleset and swaps it.
Rule: every cache has a bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from typing import Final
from urllib.parse import unquote_to_bytes

from consent_mw.core.decision import Decision
from consent_mw.core.policy import CookieRule, Policy
from consent_mw.core.terms import Mode
from consent_mw.core.whereabouts import Settled
from consent_mw.wire.address import Trust

Headers = list[tuple[bytes, bytes]]

DNT_RESOURCE: Final = b"/.well-known/dnt/"
GPC_RESOURCE: Final = b"/.well-known/gpc.json"
CONSENT_COOKIES: Final = (b"__Host-consent", b"__Secure-consent")
"""The consent cookie without and with `cookie_domain`; both are read, so that changing that forgets no answer."""

NAMES_KEPT: Final = 8192
"""Bound of the cookie names whose rule is remembered; names come from visitors, so they are not trusted to be few."""

LONGEST_KEPT: Final = 256
"""Bytes of a visitor's text beyond which it is not kept as a key of any cache."""


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
        self.trust = Trust(policy.client_address.trusted, policy.client_address.header)
        self.prefix = policy.site.prefix.rstrip("/").encode()
        domain = policy.site.cookie_domain
        self.consent_cookie = CONSENT_COOKIES[1 if domain else 0]
        self.cookie_domain = domain or None
        self.identifier_cookie = policy.identifier.cookie.encode() if policy.identifier else b""
        self.own_cookies = frozenset(name for name in (*CONSENT_COOKIES, self.identifier_cookie) if name)
        self.own_parties = (domain,) if domain else ()
        self._exact = frozenset(one.encode() for one in policy.scope.exclude if not one.endswith("*"))
        self._under = tuple(one[:-1].encode() for one in policy.scope.exclude if one.endswith("*"))
        self._rules: dict[bytes, CookieRule | None] = {}
        # Here and not in the gate, so that a reload can never pair a place with another policy's jurisdiction.
        self.places: dict[tuple[str, tuple[bytes, ...]], tuple[Settled, str]] = {}
        self._announced: dict[str, tuple[tuple[bytes, bytes], ...]] = {}

    def route(self, path: bytes) -> Route:
        """Where a request for this raw path (without its query) goes."""
        if path.startswith(self.prefix) and path[len(self.prefix) : len(self.prefix) + 1] in (b"", b"/"):
            return Route.OURS
        if path.startswith(DNT_RESOURCE) or path == GPC_RESOURCE:
            return Route.OURS
        return Route.PASS if self.excludes(path) else Route.FORWARD

    def excludes(self, path: bytes) -> bool:
        """Whether `[scope] exclude` names this path; one that two readers could take for two places is not."""
        if not self._exact and not self._under:
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
        rule = self.cookie_rule(name)
        if rule is None:
            return self.policy.keep_unlisted
        return rule.purpose in decision.allowed

    def announce(self, decision: Decision) -> tuple[tuple[bytes, bytes], ...]:
        """The headers that tell the app of this decision, remembered per decision."""
        known = self._announced.get(decision.digest)
        if known is None:
            if len(self._announced) >= NAMES_KEPT:
                self._announced.clear()
            known = self._announced[decision.digest] = _announcement(decision)
        return known


def _announcement(decision: Decision) -> tuple[tuple[bytes, bytes], ...]:
    allows = ", ".join(one.purpose for one in decision.verdicts if one.allowed)
    features = ", ".join(name for name, offered in decision.features.items() if offered)
    return (
        (b"consent-jurisdiction", decision.jurisdiction.name.encode()),
        (b"consent-allows", allows.encode()),
        (b"consent-features", features.encode()),
    )


INBOUND_RESERVED = frozenset({b"consent-jurisdiction", b"consent-allows", b"consent-features", b"consent-visitor"})
"""Request headers that only we may set; any copy from outside is removed."""

OUTBOUND_RESERVED = frozenset({b"consent-identify", b"consent-event", b"consent-minor", b"consent-erase"})
"""Response headers that the app talks to us with; the browser never sees them."""


def reserved(name: bytes) -> bool:
    """Whether a request header of this name claims to be one of ours, underscore spellings included."""
    lower = name.lower()
    return lower.startswith(b"consent") and lower.replace(b"_", b"-") in INBOUND_RESERVED


def strip_reserved(headers: Sequence[tuple[bytes, bytes]]) -> Headers:
    """The headers without any copy of ours from outside."""
    return [pair for pair in headers if not reserved(pair[0])]
