"""Consent: what one person chose, and what that choice still says today.

Rule: of two that one browser holds, the one under the policy's own name counts, with every later no of the other.
Rule: an expired or outdated yes counts as no answer; a no never grows old.
Rule: answers to purposes this policy does not define are kept but say nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from consent_mw.core.policy import Jurisdiction, Policy
from consent_mw.core.terms import Answer, Status


@dataclass(frozen=True, slots=True)
class Consent:
    """What the consent cookie holds. `at` and `issued` are in seconds since 1970 (`at` 0: never answered);
    `receipt` is the last receipt's id or empty; `seen` is the revision whose notice was read."""

    answers: Mapping[str, bool] = field(default_factory=dict)
    at: int = 0
    revision: str = ""
    receipt: str = ""
    seen: str = ""
    minor: bool = False
    issued: int = 0

    def kept_as(self, receipt: str) -> Consent:
        """The same consent, with this receipt."""
        return Consent(self.answers, self.at, self.revision, receipt, self.seen, minor=self.minor, issued=self.issued)


NO_CONSENT = Consent()
"""A person who never answered."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a consent says today: its status, and one Answer per purpose in the policy's order."""

    status: Status
    answers: tuple[Answer, ...]


def standing(consent: Consent, policy: Policy, jurisdiction: Jurisdiction, now: int) -> Standing:
    """What this consent says now, in this jurisdiction, under this policy's revision."""
    answers = consent.answers
    stale = _staleness(consent, policy, jurisdiction, now)
    given = [None if one.essential else answers.get(one.name) for one in policy.purposes]
    kinds = {one for one in given if one is not None}
    status = (stale or _mixture(kinds)) if kinds else Status.UNKNOWN
    return Standing(status, tuple([_answer(one, stale) for one in given]))


def choose(
    consent: Consent, chosen: Mapping[str, bool], policy: Policy, jurisdiction: Jurisdiction, now: int
) -> Consent:
    """The consent after a new choice. Purposes not named keep what they say today: every no, and a yes unless it is
    stale, which a new date must not revive. That holds for purposes this policy does not define, too: a reload may
    bring them back."""
    stale = _staleness(consent, policy, jurisdiction, now)
    answers = {name: yes for name, yes in consent.answers.items() if not (yes and stale)}
    names = {one.name for one in policy.optional_purposes}
    answers.update({name: bool(yes) for name, yes in chosen.items() if name in names})
    revision = policy.revision
    return Consent(answers, now, revision, consent.receipt, revision, minor=consent.minor, issued=now)


def together(own: Consent, other: Consent) -> Consent:
    """What a browser says that holds a consent under the name that this policy writes, and another one under a name
    that it wrote before, or that a subdomain wrote: the own one, but a no that was said later, and a minor's age, are
    not forgotten."""
    if own is NO_CONSENT or other is NO_CONSENT:
        return other if own is NO_CONSENT else own
    since = {name: False for name, yes in other.answers.items() if not yes} if other.at >= own.at else {}
    return replace(own, answers={**own.answers, **since}, minor=own.minor or other.minor)


def _staleness(consent: Consent, policy: Policy, jurisdiction: Jurisdiction, now: int) -> Status | None:
    """Why a yes in this consent no longer counts, if it does not."""
    if consent.revision != policy.revision:
        return Status.OUTDATED
    return Status.EXPIRED if now - consent.at > jurisdiction.lasts else None


def _mixture(kinds: set[bool]) -> Status:
    if len(kinds) > 1:
        return Status.PARTIAL
    return Status.GIVEN if True in kinds else Status.REFUSED


def _answer(given: bool | None, stale: Status | None) -> Answer:
    if given is None or (given and stale):
        return Answer.NONE
    return Answer.YES if given else Answer.NO
