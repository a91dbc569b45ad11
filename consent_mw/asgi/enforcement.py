"""Enforcement: one decision carried out on cookies and headers, with all that can be worked out before a request.

Rule: made once for a decision, looked up after; every table in it has a bound.
Rule: what a decision lets pass stays byte for byte what came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from consent_mw.asgi.csp import PageGuard
from consent_mw.asgi.gating import gating_of
from consent_mw.core.decision import Decision
from consent_mw.core.terms import Reason
from consent_mw.wire import cookies
from consent_mw.wire.cookies import IN_COOKIES, LONGEST_PAIR, SetCookie
from consent_mw.wire.fields import Field, request_field, response_field

if TYPE_CHECKING:
    from consent_mw.asgi.jar import Jar
    from consent_mw.asgi.ruleset import Ruleset

NAMES_KEPT: Final = 512
PLANS_KEPT: Final = 512
LONGEST_NAME_KEPT: Final = 64
LONGEST_ATTRIBUTES_KEPT: Final = 256


class Enforcement:
    """What one decision does. `announced` tells the app of it, `tk` the browser, `guard` makes the browser hold to
    it; `ends` are the purposes whose cookies end by a no or a minor's age, where they are held already; `gating` is
    what is done to pages; `reports`: whether there are vendors, `leaves`: whether one may get something."""

    __slots__ = (
        "_kept", "_plans", "_rules", "announced", "decision", "ends", "gating", "guard", "identifies", "leaves",
        "reports",
        "shows",
        "tk",
    )  # fmt: skip

    def __init__(self, rules: Ruleset, decision: Decision) -> None:
        self._rules = rules
        self._kept: dict[bytes, bool] = {}
        self._plans: dict[tuple[bytes, bytes], bytes | bool] = {}
        self.decision = decision
        self.announced = _announcement(decision)
        self.guard = PageGuard(rules.policy, decision)
        self.tk = response_field(b"Tk", decision.tk.encode())
        ending = (Reason.CONSENT_REFUSED, Reason.MINOR)
        self.ends = frozenset(one.purpose for one in decision.verdicts if one.reason in ending and not one.allowed)
        self.reports = bool(decision.fields)
        self.leaves = any(decision.fields.values())
        rule = rules.policy.identifier
        self.identifies = rule is not None and decision.allows(rule.purpose) and not decision.minor
        self.shows = decision.ask or decision.notice
        self.gating = gating_of(rules.policy, decision) if rules.edits else None

    def keeps(self, name: bytes) -> bool:
        """Whether a cookie of this name may pass, in either direction; our own never do."""
        known = self._kept.get(name)
        if known is None:
            known = self._rules.keeps(name, self.decision)
            if len(name) <= LONGEST_NAME_KEPT:
                if len(self._kept) >= NAMES_KEPT:
                    self._kept.clear()
                self._kept[name] = known
        return known

    def remaining(self, jar: Jar) -> bytes | None:
        """What remains of a request's cookies; None if nothing does."""
        return cookies.remaining(jar.joined, self._kept, self.keeps)

    def set_cookie(self, raw: bytes, now: int) -> bytes | None:
        """What becomes of this Set-Cookie line: itself, a bounded one, or None where it is dropped."""
        pair, _, attributes = raw.partition(b";")
        name, equals, _ = pair.partition(b"=")
        plan = self._plans.get((name, attributes))
        if plan is not None and equals and len(pair) <= LONGEST_PAIR and not pair.translate(None, IN_COOKIES):
            return raw if plan is True else None if plan is False else pair + bytes(plan)
        parsed = SetCookie.parse(raw)
        if parsed is None:
            return None
        line = self._bounded(raw, parsed, now)
        lasting = equals and parsed.name and not parsed.dated and len(attributes) <= LONGEST_ATTRIBUTES_KEPT
        if lasting and len(name) <= LONGEST_NAME_KEPT and (line is None or line.startswith(pair)):
            if len(self._plans) >= PLANS_KEPT:
                self._plans.clear()
            self._plans[name, attributes] = False if line is None else line == raw or line[len(pair) :]
        return line

    def _bounded(self, raw: bytes, parsed: SetCookie, now: int) -> bytes | None:
        if parsed.name in self._rules.own_cookies:
            return None
        if parsed.is_deletion(now):
            return raw
        # A browser sends a nameless cookie as its bare value, which a server then reads as `name=value`.
        read_as = parsed.name or parsed.value.partition(b"=")[0].strip(b" \t")
        if not (self.keeps(parsed.name) and self.keeps(read_as)):
            return None
        rule = self._rules.cookie_rule(parsed.name)
        if rule is None:
            return raw
        return cookies.bound_set_cookie(raw, lasts=rule.lasts, secure=rule.secure, same_site=rule.same_site, now=now)


def _announcement(decision: Decision) -> tuple[Field, ...]:
    allows = ", ".join(one.purpose for one in decision.verdicts if one.allowed)
    features = ", ".join(name for name, offered in decision.features.items() if offered)
    return (
        request_field(b"consent-jurisdiction", decision.jurisdiction.name.encode()),
        request_field(b"consent-allows", allows.encode()),
        request_field(b"consent-features", features.encode()),
    )
