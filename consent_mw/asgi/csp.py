"""What a decision writes into a page's head so that the browser itself holds to it: CSP and Permissions-Policy.

Rule: worked out once for a decision and what the site said; then looked up.
Rule: a policy of the site's is only ever narrowed, except that our own files are let in where ours is on the page.
Rule: a site whose policies govern no load gets one of ours: its `sources` and the hosts of allowed vendors.
Rule: ours says where a page may load from and call, not which code may stand in the page itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from consent_mw.core.decision import Decision
from consent_mw.core.hosts import Hosts, hosts_of
from consent_mw.core.policy import Policy
from consent_mw.core.terms import CspMode
from consent_mw.wire.csp import (
    NO_NONCES,
    NONE,
    ContentPolicy,
    Nonces,
    Own,
    binds,
    directive,
    let_in,
    narrow,
    narrowed_sources,
    nonces_of,
    pattern_of,
    read_policies,
    reporting,
    without_reporting,
    written,
)
from consent_mw.wire.fields import Field, Fields, response_field
from consent_mw.wire.permissions import shut, sound
from consent_mw.wire.remembered import Remembered
from consent_mw.wire.response_head import ResponseHead

CSP: Final = b"content-security-policy"
PERMISSIONS: Final = b"permissions-policy"
ENDPOINTS: Final = b"reporting-endpoints"

INLINE: Final = ("data:", "blob:", "'unsafe-inline'", "'unsafe-eval'")
"""What our own policy lets be: none of it is loaded from a host."""

GROUP: Final = "consent-mw"
"""The name under which browsers know where reports go."""

PLANS_KEPT: Final = 8
LONGEST_KEPT: Final = 4096

_HOST = re.compile(rb"[A-Za-z0-9_.-]{1,253}(?::[0-9]{1,5})?")

Said = tuple[tuple[bytes, ...], tuple[bytes, ...], tuple[bytes, ...]]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What becomes of a page's fields: `policies` has for each CSP field the one that takes its place, or None where
    it stays; `dropped` go, `added` come. `binds`: no denied host passes the policies."""

    policies: tuple[Field | None, ...]
    dropped: frozenset[bytes]
    added: tuple[Field, ...]
    binds: bool


class PageGuard:
    """One decision, as the browser of whoever it is about is told of it. `active`: `[csp]` is not off."""

    __slots__ = ("_denies", "_enforces", "_hosts", "_ours", "_plans", "_prefix", "_secure", "active")

    def __init__(self, policy: Policy, decision: Decision) -> None:
        self._hosts = hosts_of(decision)
        self._ours = own_policy(policy.csp.sources, self._hosts)
        self._prefix = policy.site.prefix.rstrip("/")
        self._secure = policy.site.origin.startswith("https://")
        self._denies = not all(one.allowed for one in decision.verdicts)
        self._enforces = policy.csp.mode is CspMode.ENFORCE
        self._plans: Remembered[tuple[Said, bytes, bool, bool], _Plan] = Remembered(PLANS_KEPT)
        self.active = policy.csp.mode is not CspMode.OFF

    def dress(
        self,
        fields: Fields,
        answer: ResponseHead,
        count: Callable[[str], None],
        *,
        host: bytes = b"",
        blocking: bool = False,
    ) -> Fields:
        """The fields of a page with what this decision makes of their policies. `host`: where our own files are let
        in from, as the browser names it; empty where none is on the page. `blocking`: what the page asks for could
        not be looked at, so that only what is known to be allowed may be called, whatever `[csp]` says."""
        said = (answer.all(CSP), answer.all(PERMISSIONS), answer.all(ENDPOINTS))
        if not (self.active or blocking or (host and said[0])):
            return fields
        key = (said, host, answer.status == 304, blocking)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plan(*key)
            if sum(map(len, (host, *said[0], *said[1], *said[2]))) <= LONGEST_KEPT:
                self._plans.keep(key, plan)
        if not plan.binds:
            count("csp_unbound")
        return [*_kept(fields, plan), *plan.added]

    def _plan(self, said: Said, host: bytes, again: bool, blocking: bool) -> _Plan:
        held, permissions, told = said
        group = GROUP if self._secure and sound(told) else ""
        page = _Page(held, self._hosts, _own(host, self._prefix), f"{self._prefix}/csp", group)
        make = page.enforced if self._enforces else page.opened
        made = [[make(one) for one in policies] for policies in page.held]
        ours: list[ContentPolicy] = []
        watched: list[ContentPolicy] = []
        endpoints = ""
        # A 304 says anew what a browser holds already; of what it does not say, the page's own head still stands.
        if held or not again:
            if blocking or (self._enforces and not page.governing):
                ours = [page.heard(page.opened(self._ours)) if self.active else page.opened(self._ours)]
            watched = page.watched(self._ours, enforced=self._enforces) if self.active else []
            endpoints = f'{group}="{self._prefix}/csp"' if group and self.active else ""
        added = _added(ours, watched, endpoints)
        dropped: frozenset[bytes] = frozenset()
        if self._enforces and self._denies and (permissions or not again):
            dropped = frozenset() if sound(permissions) else frozenset({PERMISSIONS})
            line = shut(() if dropped else permissions)
            added += (response_field(b"Permissions-Policy", line),) if line else ()
        everything = [*ours, *(one for group_of in made for one in group_of)]
        bound = not self._enforces or not everything or binds(everything, self._hosts)
        changed = tuple(
            None if now == before else _field(b"Content-Security-Policy", now)
            for now, before in zip(made, page.held, strict=True)
        )
        return _Plan(changed, dropped, added, bound)


class _Page:
    """What is made of the policies of one page's head: `held` are those of each of its fields, `governing` those of
    them that govern a load."""

    def __init__(self, held: Sequence[bytes], hosts: Hosts, own: Own | None, address: str, group: str) -> None:
        self._hosts = hosts
        self._own = own
        self._address = address
        self._group = group
        self.held = [list(read_policies(one)) for one in held]
        policies = [one for group_of in self.held for one in group_of]
        self.governing = [one for one in policies if one.fetches]
        self._nonces = nonces_of(policies)

    def enforced(self, policy: ContentPolicy) -> ContentPolicy:
        """A policy of the site's as this decision has it."""
        narrowed = self.opened(narrow(policy, self._hosts))
        return self.heard(narrowed) if narrowed.fetches else narrowed

    def opened(self, policy: ContentPolicy) -> ContentPolicy:
        """The policy that our own files pass, where they are on the page."""
        return policy if self._own is None else let_in(policy, self._own, self._nonces)

    def heard(self, policy: ContentPolicy) -> ContentPolicy:
        """The policy that also reports to us, if it can."""
        return reporting(policy, self._address, self._group) or policy

    def watched(self, ours: ContentPolicy, *, enforced: bool) -> list[ContentPolicy]:
        """What is only reported on: all that would be enforced; where it is, what cannot report to us by itself."""
        deaf = [one for one in self.governing if reporting(one, self._address, self._group) is None]
        watched = [without_reporting(narrow(one, self._hosts)) for one in (deaf if enforced else self.governing)]
        if not enforced and not watched:
            watched = [ours]
        return [self.heard(self.opened(one)) for one in watched]


def nonces_in(answer: ResponseHead) -> Nonces:
    """The nonces by which this page's own policies let our script and style in; none where it has none."""
    held = answer.all(CSP)
    return nonces_of(one for field in held for one in read_policies(field)) if held else NO_NONCES


def carrying(markup: bytes, nonces: Nonces) -> bytes:
    """Markup of ours whose styles and scripts carry these nonces; text in it is escaped, so that a tag is one."""
    if nonces.style:
        markup = markup.replace(b"<link ", b'<link nonce="%b" ' % nonces.style.encode())
    if nonces.script:
        markup = markup.replace(b"<script ", b'<script nonce="%b" ' % nonces.script.encode())
    return markup


def own_policy(sources: Sequence[str], hosts: Hosts) -> ContentPolicy:
    """The policy of a site that sends none: what it lists itself but for denied hosts, and the hosts of allowed
    vendors. It is also what holds where a page could not be looked at: all that is not known to be allowed is not."""
    listed = [one for one in narrowed_sources(sources, hosts) if one.lower() != NONE]
    return written([directive("default-src", *dict.fromkeys((*listed, *hosts.allowed, *INLINE)))])


class Accused:
    """Who is behind a host that a page tried to call."""

    def __init__(self, policy: Policy) -> None:
        listed = [(host, one.name, one.purpose) for one in policy.vendors for host in one.hosts]
        self._listed = [(found, name, purpose) for host, name, purpose in listed if (found := pattern_of(host))]

    def of(self, blocked: str, decision: Decision | None) -> tuple[str, str]:
        """The vendor and its purpose, a denied one first where several share the host; `other` where it is none's."""
        named = pattern_of(blocked)
        found = [(name, purpose) for one, name, purpose in self._listed if named is not None and one.covers(named)]
        denied = [one for one in found if decision is not None and not decision.fields[one[0]]]
        return (*denied, *found, ("other", ""))[0]


def _own(host: bytes, prefix: str) -> Own | None:
    """Where our files and routes are, as the browser names them; None where no source expression can."""
    if not _HOST.fullmatch(host):
        return None
    at = host.decode() + prefix
    return Own(f"{at}/static/", f"{at}/")


def _kept(fields: Fields, plan: _Plan) -> Fields:
    if not any(plan.policies):
        return [one for one in fields if one[0] not in plan.dropped] if plan.dropped else fields
    kept: Fields = []
    changed = iter(plan.policies)
    for one in fields:
        if one[0] == CSP:
            kept.append(next(changed) or one)
        elif one[0] not in plan.dropped:
            kept.append(one)
    return kept


def _added(ours: Sequence[ContentPolicy], watched: Sequence[ContentPolicy], endpoints: str) -> tuple[Field, ...]:
    enforced = (_field(b"Content-Security-Policy", ours),) if ours else ()
    reported = (_field(b"Content-Security-Policy-Report-Only", watched),) if watched else ()
    told = (response_field(b"Reporting-Endpoints", endpoints.encode()),) if endpoints else ()
    return (*enforced, *reported, *told)


def _field(name: bytes, policies: Sequence[ContentPolicy]) -> Field:
    return response_field(name, ", ".join(one.text for one in policies).encode("latin-1"))
