"""What a decision writes into a page's head so that the browser itself holds to it: CSP and Permissions-Policy.

Rule: worked out once for a decision and what the site said (nonces aside); then looked up.
Rule: a policy of the site's is only ever narrowed, except that our own files are let in where ours is on the page.
Rule: a site whose policies govern no load gets one of ours: its `sources` and the hosts of allowed vendors.
Rule: ours says where a page may load from and call, not which code may stand in the page itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from consent_mw.core.decision import Decision
from consent_mw.core.hosts import Hosts, hosts_of
from consent_mw.core.policy import Policy, Site
from consent_mw.core.terms import CspMode
from consent_mw.wire.csp import (
    NO_NONCES,
    NONE,
    ContentPolicy,
    Nonces,
    Own,
    binds,
    directive,
    hide,
    let_in,
    narrow,
    narrowed_sources,
    nonces_of,
    pattern_in,
    read_policies,
    reporting,
    reveal,
    unreported,
    without_reporting,
    written,
)
from consent_mw.wire.fields import Field, Fields, response_field
from consent_mw.wire.permissions import shut, sound
from consent_mw.wire.remembered import Remembered
from consent_mw.wire.report_endpoints import denied_groups, reports_to_denied
from consent_mw.wire.response_head import ResponseHead

CSP: Final = b"content-security-policy"
WATCHED: Final = b"content-security-policy-report-only"
PERMISSIONS: Final = b"permissions-policy"
ENDPOINTS: Final = b"reporting-endpoints"
REPORT_TO: Final = b"report-to"

INLINE: Final = ("data:", "blob:", "'unsafe-inline'", "'unsafe-eval'")
"""What our own policy lets be: none of it is loaded from a host."""

GROUP: Final = "consent-mw"
"""The name under which browsers know where reports go."""

PLANS_KEPT: Final = 8
LONGEST_KEPT: Final = 4096

_HOST = re.compile(rb"[A-Za-z0-9_.-]{1,253}(?::[0-9]{1,5})?")

Instead = tuple[Field, ...] | None
"""What takes a field's place: other fields or none; None where it stays."""


@dataclass(frozen=True, slots=True)
class _Said:
    """What a page's head says; each nonce told by its number, so that what comes again looks alike."""

    policies: tuple[bytes, ...]
    watched: tuple[bytes, ...]
    permissions: tuple[bytes, ...]
    endpoints: tuple[bytes, ...]
    report_to: tuple[bytes, ...]

    def __len__(self) -> int:
        every = (self.policies, self.watched, self.permissions, self.endpoints, self.report_to)
        return sum(len(one) for values in every for one in values)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What becomes of a page's fields: `instead` has what takes the place of each of those of one name, `added` come.
    `binds`: no denied host passes the policies."""

    instead: Mapping[bytes, tuple[Instead, ...]]
    added: tuple[Field, ...]
    binds: bool

    def carry_out(self, fields: Fields, nonces: Sequence[bytes]) -> Fields:
        """The fields as they go out, with their nonces."""
        turns = {name: iter(each) for name, each in self.instead.items()}
        kept: Fields = [] if turns else list(fields)
        for one in fields if turns else ():
            turn = turns.get(one[0])
            taken = None if turn is None else next(turn, None)
            kept += (one,) if taken is None else (_revealed(other, nonces) for other in taken)
        return [*kept, *(_revealed(one, nonces) for one in self.added)]


class PageGuard:
    """One decision, as the browser of whoever it is about is told of it. `active`: `[csp]` is not off."""

    __slots__ = ("_denies", "_enforces", "_hosts", "_ours", "_plans", "_prefix", "_secure", "_site", "active")

    def __init__(self, policy: Policy, decision: Decision) -> None:
        self._hosts = hosts_of(decision)
        self._ours = own_policy(policy.csp.sources, self._hosts)
        self._site = policy.site
        self._prefix = policy.site.prefix.rstrip("/")
        self._secure = policy.site.origin.startswith("https://")
        self._denies = not all(one.allowed for one in decision.verdicts)
        self._enforces = policy.csp.mode is CspMode.ENFORCE
        self._plans: Remembered[tuple[_Said, bytes, bool, bool], _Plan] = Remembered(PLANS_KEPT)
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
        if not (self.active or blocking or (host and CSP in answer.seen)):
            return fields
        nonces: list[bytes] = []
        policies = tuple(hide(one, nonces) for one in answer.all(CSP))
        watched = tuple(hide(one, nonces) for one in answer.all(WATCHED))
        said = _Said(policies, watched, answer.all(PERMISSIONS), answer.all(ENDPOINTS), answer.all(REPORT_TO))
        key = (said, host, answer.status == 304, blocking)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plan(*key)
            if len(said) + len(host) <= LONGEST_KEPT:
                self._plans.keep(key, plan)
        if not plan.binds:
            count("csp_unbound")
        return plan.carry_out(fields, nonces)

    def _plan(self, said: _Said, host: bytes, again: bool, blocking: bool) -> _Plan:
        group = GROUP if self._secure and sound(said.endpoints) else ""
        page = _Page(said.policies, self._hosts, _own(host, self._site), f"{self._prefix}/csp", group)
        make = page.enforced if self._enforces else page.opened
        made = [[make(one) for one in policies] for policies in page.held]
        added: Fields = []
        ours: list[ContentPolicy] = []
        # A 304 says anew what a browser holds already; of what it does not say, the page's own head still stands.
        if said.policies or not again:
            if blocking or (self._enforces and not page.governing):
                ours = [page.heard(page.opened(self._ours)) if self.active else page.opened(self._ours)]
            watched = page.watched(self._ours, enforced=self._enforces) if self.active else []
            added += [_field(b"Content-Security-Policy", ours)] if ours else []
            added += [_field(b"Content-Security-Policy-Report-Only", watched)] if watched else []
            added += self._endpoints(group, said) if group and self.active else []
        instead = {CSP: _instead(b"Content-Security-Policy", made, page.held)}
        if self._enforces:
            instead |= self._silenced(said)
            if self._denies and (said.permissions or not again):
                stays = sound(said.permissions)
                instead[PERMISSIONS] = () if stays else ((),) * len(said.permissions)
                line = shut(said.permissions if stays else ())
                added += [response_field(b"Permissions-Policy", line)] if line else []
        everything = [*ours, *(one for policies in made for one in policies)]
        bound = not self._enforces or not everything or binds(everything, self._hosts)
        changed = {name: each for name, each in instead.items() if any(one is not None for one in each)}
        return _Plan(changed, tuple(added), bound)

    def _endpoints(self, group: str, said: _Said) -> Fields:
        """Where reports go: to us, also those that would go to a denied host; what is said last holds."""
        groups = (group, *(denied_groups(said.endpoints, self._hosts) if self._enforces else ()))
        told = ", ".join(f'{one}="{self._prefix}/csp"' for one in groups)
        return [response_field(b"Reporting-Endpoints", told.encode())]

    def _silenced(self, said: _Said) -> dict[bytes, tuple[Instead, ...]]:
        """What else would report to a denied host, without that."""
        held = [list(read_policies(one)) for one in said.watched]
        made = [[unreported(one, self._hosts) for one in policies] for policies in held]
        return {
            WATCHED: _instead(b"Content-Security-Policy-Report-Only", made, held),
            REPORT_TO: tuple(() if reports_to_denied(one, self._hosts) else None for one in said.report_to),
        }


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


def own_policy(sources: Sequence[str], hosts: Hosts) -> ContentPolicy:
    """The policy of a site that sends none: what it lists itself but for denied hosts, and the hosts of allowed
    vendors. It is also what holds where a page could not be looked at: all that is not known to be allowed is not."""
    listed = [one for one in narrowed_sources(sources, hosts) if one.lower() != NONE]
    return written([directive("default-src", *dict.fromkeys((*listed, *hosts.allowed, *INLINE)))])


class Accused:
    """Who is behind a host that a page tried to call."""

    def __init__(self, policy: Policy) -> None:
        listed = [(host, one.name, one.purpose) for one in policy.vendors for host in one.hosts]
        self._listed = [(found, name, purpose) for host, name, purpose in listed if (found := pattern_in(host))]

    def of(self, blocked: str, decision: Decision | None) -> tuple[str, str]:
        """The vendor and its purpose, a denied one first where several share the host; `other` where it is none's."""
        named = pattern_in(blocked)
        found = [(name, purpose) for one, name, purpose in self._listed if named is not None and one.covers(named)]
        denied = [one for one in found if decision is not None and not decision.fields[one[0]]]
        return (*denied, *found, ("other", ""))[0]


def _own(host: bytes, site: Site) -> Own | None:
    """What of ours is on a page, as the browser names it; None where no source expression can name this host."""
    if not _HOST.fullmatch(host):
        return None
    here, at = host.decode(), host.decode() + site.prefix.rstrip("/")
    styles, images = _sources(here, site.stylesheet), _sources(here, site.logo)
    elsewhere = frozenset(one for one in (*styles, *images) if not one.startswith(here + "/"))
    return Own(f"{at}/static/", f"{at}/", styles, images, elsewhere)


def _sources(here: str, address: str) -> tuple[str, ...]:
    """The source expression for this address of the site's own choice; none where none can name it."""
    plain = re.split("[?#]", address)[0]
    if not plain or set(plain) & {";", ","}:
        return ()
    return (here + plain if plain.startswith("/") else plain,)


def _revealed(field: Field, nonces: Sequence[bytes]) -> Field:
    if not nonces or field[0] not in (CSP, WATCHED):
        return field
    return response_field(field[2].partition(b":")[0], reveal(field[1], nonces))


def _instead(
    name: bytes, made: Sequence[Sequence[ContentPolicy]], held: Sequence[Sequence[ContentPolicy]]
) -> tuple[Instead, ...]:
    return tuple(None if now == before else (_field(name, now),) for now, before in zip(made, held, strict=True))


def _field(name: bytes, policies: Sequence[ContentPolicy]) -> Field:
    return response_field(name, ", ".join(one.text for one in policies).encode("latin-1"))
