"""Consent: what one person chose, and what that choice still says today.

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


NO_CONSENT = Consent()
"""A person who never answered."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a consent says today: its status, and one Answer per purpose in the policy's order."""

    status: Status
    answers: tuple[Answer, ...]


def standing(consent: Consent, policy: Policy, jurisdiction: Jurisdiction, now: int) -> Standing:
    """What this consent says now, in this jurisdiction, under this policy's revision."""
    given = {one.name: consent.answers[one.name] for one in policy.optional_purposes if one.name in consent.answers}
    status = _status(consent, given, policy, jurisdiction, now)
    stale = status in (Status.EXPIRED, Status.OUTDATED)
    return Standing(status, tuple(_answer(given.get(one.name), stale) for one in policy.purposes))


def choose(
    consent: Consent, chosen: Mapping[str, bool], policy: Policy, jurisdiction: Jurisdiction, now: int
) -> Consent:
    """The consent after a new choice: purposes not named keep what they say today, a stale yes is not revived."""
    kept = standing(consent, policy, jurisdiction, now).answers
    answers = {
        purpose.name: answer is Answer.YES
        for purpose, answer in zip(policy.purposes, kept, strict=True)
        if answer is not Answer.NONE
    }
    names = {one.name for one in policy.optional_purposes}
    answers.update({name: bool(yes) for name, yes in chosen.items() if name in names})
    return replace(consent, answers=answers, at=now, revision=policy.revision, seen=policy.revision, issued=now)


def _status(
    consent: Consent, given: Mapping[str, bool], policy: Policy, jurisdiction: Jurisdiction, now: int
) -> Status:
    if not given:
        return Status.UNKNOWN
    if consent.revision != policy.revision:
        return Status.OUTDATED
    if now - consent.at > jurisdiction.lasts:
        return Status.EXPIRED
    kinds = set(given.values())
    if len(kinds) > 1:
        return Status.PARTIAL
    return Status.GIVEN if True in kinds else Status.REFUSED


def _answer(given: bool | None, stale: bool) -> Answer:
    if given is None or (given and stale):
        return Answer.NONE
    return Answer.YES if given else Answer.NO
