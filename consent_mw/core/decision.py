"""The decision: per purpose allowed or denied with a Reason, and all that follows from it.

Rule: the first rule in LADDER that answers wins; the last two always answer.
Rule: `decide` depends on few values, so every verdict but those of strings is worked out when a policy is first seen.
Rule: one more refusal never allows more, and a stricter jurisdiction never allows more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from consent_mw.core.consent import standing
from consent_mw.core.facts import Facts, Refusals
from consent_mw.core.policy import Jurisdiction, Policy, Purpose, SignalEffect
from consent_mw.core.terms import (
    STRINGS,
    Answer,
    Banner,
    Effect,
    Mode,
    Reason,
    Regime,
    Signal,
    Status,
    TrackingStatus,
    Whereabouts,
)
from consent_mw.errors import Place

DECISIONS_KEPT = 4096
"""Bound of the whole decisions kept per policy; verdicts are always tabled."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer for one purpose: why, by which rule of the file, on which clauses it rests."""

    purpose: str
    allowed: bool
    reason: Reason
    place: Place
    clauses: tuple[str, ...] = ()
    signal: Signal | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """One purpose under the values that its verdict depends on; `strings` are those that refuse it."""

    policy: Policy
    purpose: Purpose
    jurisdiction: Jurisdiction
    answer: Answer
    dnt: bool
    gpc: bool
    minor: bool
    strings: frozenset[Signal] = frozenset()

    def allow(self, reason: Reason, place: Place, clauses: tuple[str, ...] = ()) -> Verdict:
        """Allow the purpose for this reason."""
        return Verdict(self.purpose.name, True, reason, place, clauses)

    def deny(
        self, reason: Reason, place: Place, clauses: tuple[str, ...] = (), signal: Signal | None = None
    ) -> Verdict:
        """Deny the purpose for this reason."""
        return Verdict(self.purpose.name, False, reason, place, clauses, signal)


@dataclass(frozen=True, slots=True)
class Decision:
    """What holds for one request. `verdicts` are in the policy's order; `features` maps each feature to whether
    it is offered; `fields` maps each vendor to the fields that may leave (none where its purpose is denied);
    `ask` and `notice` say what a page shows, `changed` that the person knows an earlier revision; `tracking` is
    the Tk value; `refused_by` maps each received signal to the purposes it refuses here, also where another rule
    refused them first: a signal that was honoured must be said to be (11 CCR 7025(c)(6)); `digest` names
    everything a page may differ by."""

    policy: Policy
    jurisdiction: Jurisdiction
    whereabouts: Whereabouts
    status: Status
    verdicts: tuple[Verdict, ...]
    allowed: frozenset[str]
    features: Mapping[str, bool]
    fields: Mapping[str, tuple[str, ...]]
    ask: bool
    notice: bool
    changed: bool
    dnt: bool | None
    gpc: bool
    minor: bool
    tracking: TrackingStatus
    refused_by: Mapping[Signal, tuple[str, ...]]
    digest: str

    def allows(self, purpose: str) -> bool:
        """Whether the purpose of this name is allowed; a purpose the policy does not define never is."""
        return purpose in self.allowed

    def verdict(self, purpose: str) -> Verdict | None:
        """The verdict on the purpose of this name."""
        return next((one for one in self.verdicts if one.purpose == purpose), None)

    @property
    def tk(self) -> str:
        """The value of the Tk response header (W3C TPE 6.2): status and a stable status id."""
        return f"{self.tracking.value};{STATUS_IDS[self.tracking]}"


STATUS_IDS: Mapping[TrackingStatus, str] = MappingProxyType(
    {
        TrackingStatus.UNDER_TEST: "test",
        TrackingStatus.DYNAMIC: "site",
        TrackingStatus.NOT_TRACKING: "none",
        TrackingStatus.TRACKING: "default",
        TrackingStatus.CONSENT: "consent",
        TrackingStatus.DISREGARDED: "ignored",
        TrackingStatus.UPDATED: "updated",
    }
)
"""The status-id of each value: the last segment of its tracking status resource."""

Rule = Callable[[Question], Verdict | None]


def decide(facts: Facts, policy: Policy) -> Decision:
    """What holds for a request with these facts under this policy. Total: every fact has an answer."""
    stands = standing(facts.consent, policy, facts.jurisdiction, facts.now)
    key = _Key(
        facts.jurisdiction.name,
        facts.whereabouts,
        stands.status,
        stands.answers,
        facts.consent.seen == policy.revision,
        facts.consent.seen not in ("", policy.revision),
        facts.dnt,
        facts.gpc,
        facts.minor or facts.consent.minor,
        facts.refusals,
    )
    return table_of(policy).decision(key)


@lru_cache(maxsize=8)
def table_of(policy: Policy) -> DecisionTable:
    """The table of this policy, compiled once."""
    return DecisionTable(policy)


@dataclass(frozen=True, slots=True)
class _Key:
    jurisdiction: str
    whereabouts: Whereabouts
    status: Status
    answers: tuple[Answer, ...]
    seen: bool
    changed: bool
    dnt: bool | None
    gpc: bool
    minor: bool
    refusals: Refusals = ()


_VerdictKey = tuple[str, str, Answer, bool, bool, bool]


class DecisionTable:
    """Every verdict of one policy, and the whole decisions made of them so far (bounded)."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._verdicts: dict[_VerdictKey, Verdict] = {
            (purpose.name, place.name, answer, dnt, gpc, minor): judge(
                Question(policy, purpose, place, answer, dnt, gpc, minor)
            )
            for purpose in policy.purposes
            for place in policy.jurisdictions
            for answer in Answer
            for dnt in (False, True)
            for gpc in (False, True)
            for minor in (False, True)
        }
        self._decisions: dict[_Key, Decision] = {}

    def decision(self, key: _Key) -> Decision:
        """The decision for this key; made on first sight."""
        known = self._decisions.get(key)
        if known is not None:
            return known
        made = self._assemble(key)
        if len(self._decisions) >= DECISIONS_KEPT:
            self._decisions.clear()
        self._decisions[key] = made
        return made

    def _assemble(self, key: _Key) -> Decision:
        policy = self._policy
        place = policy.jurisdiction(key.jurisdiction)
        if place is None:
            raise ValueError(f"jurisdiction {key.jurisdiction!r} is not of this policy")
        dnt = key.dnt is True
        questions = [
            Question(policy, purpose, place, answer, dnt, key.gpc, key.minor, _strings(key.refusals, purpose.name))
            for purpose, answer in zip(policy.purposes, key.answers, strict=True)
        ]
        verdicts = tuple(
            judge(one)
            if one.strings
            else self._verdicts[one.purpose.name, place.name, one.answer, dnt, key.gpc, key.minor]
            for one in questions
        )
        allowed = frozenset(one.purpose for one in verdicts if one.allowed)
        current = key.status in (Status.GIVEN, Status.REFUSED, Status.PARTIAL)
        enforced = policy.mode is Mode.ENFORCE
        return Decision(
            policy=policy,
            jurisdiction=place,
            whereabouts=key.whereabouts,
            status=key.status,
            verdicts=verdicts,
            allowed=allowed,
            features=MappingProxyType(_features(policy, place, allowed)),
            fields=MappingProxyType(_fields(policy, place, allowed)),
            ask=enforced
            and place.banner is Banner.ASK
            and not current
            and not key.minor
            and bool(policy.optional_purposes),
            notice=enforced and place.banner is Banner.NOTICE and not key.seen,
            changed=key.changed,
            dnt=key.dnt,
            gpc=key.gpc,
            minor=key.minor,
            tracking=_tracking(policy, verdicts, key.dnt),
            refused_by=MappingProxyType(_refused_by(questions)),
            digest=_digest(policy, key),
        )


def judge(question: Question) -> Verdict:
    """The verdict on one purpose: the first rule of the ladder that answers."""
    for rule in LADDER:
        verdict = rule(question)
        if verdict is not None:
            return verdict
    return opt_out_default(question)


def essential(question: Question) -> Verdict | None:
    """Allow what the site cannot do without; it needs no consent."""
    if question.purpose.essential:
        return question.allow(Reason.ESSENTIAL, question.purpose.place, question.purpose.clauses)
    return None


def minor(question: Question) -> Verdict | None:
    """Deny everything optional to a person the site knows to be a minor."""
    if question.minor:
        return question.deny(Reason.MINOR, question.purpose.place, question.purpose.clauses)
    return None


def consent_refused(question: Question) -> Verdict | None:
    """Deny a purpose this person said no to."""
    if question.answer is Answer.NO:
        return question.deny(Reason.CONSENT_REFUSED, question.purpose.place, question.purpose.clauses)
    return None


def signal_refuses(question: Question) -> Verdict | None:
    """Deny a purpose that a received signal refuses here, unless the signal yields to a given consent."""
    refusals = _refusals(question)
    if refusals:
        signal, effect = refusals[0]
        return question.deny(Reason.SIGNAL_REFUSES, effect.place, effect.clauses, signal)
    return None


def consent_given(question: Question) -> Verdict | None:
    """Allow a purpose this person said yes to."""
    if question.answer is Answer.YES:
        return question.allow(Reason.CONSENT_GIVEN, question.purpose.place, question.purpose.clauses)
    return None


def opt_in_default(question: Question) -> Verdict | None:
    """Deny without an answer where nothing may happen before a yes."""
    if question.jurisdiction.regime is Regime.OPT_IN:
        return question.deny(Reason.OPT_IN_DEFAULT, question.jurisdiction.place, question.jurisdiction.clauses)
    return None


def opt_out_default(question: Question) -> Verdict:
    """Allow without an answer where it is allowed until a no."""
    return question.allow(Reason.OPT_OUT_DEFAULT, question.jurisdiction.place, question.jurisdiction.clauses)


LADDER: tuple[Rule, ...] = (
    essential,
    minor,
    consent_refused,
    signal_refuses,
    consent_given,
    opt_in_default,
)
"""The rules in order; `opt_out_default` answers where none of them does."""


def _refusals(question: Question) -> list[tuple[Signal, SignalEffect]]:
    """The received signals that refuse this purpose here, with the effect by which they do."""
    sent = [signal for signal, on in ((Signal.DNT, question.dnt), (Signal.GPC, question.gpc)) if on]
    sent += [signal for signal in STRINGS if signal in question.strings]
    rules = [rule for signal in sent if (rule := question.policy.signals.get(signal)) is not None]
    agreed = question.answer is Answer.YES
    effects = [
        (rule.signal, rule.effect_in(question.jurisdiction.name))
        for rule in rules
        if not (agreed and rule.yields_to_consent)
    ]
    name = question.purpose.name
    return [(signal, one) for signal, one in effects if one.effect is Effect.REFUSE and name in one.purposes]


def _strings(refusals: Refusals, purpose: str) -> frozenset[Signal]:
    """The strings that refuse this purpose."""
    return frozenset(signal for signal, name in refusals if name == purpose)


def _features(policy: Policy, place: Jurisdiction, allowed: frozenset[str]) -> dict[str, bool]:
    return {one.name: one.purpose in allowed and place.name not in one.denied_in for one in policy.features}


def _fields(policy: Policy, place: Jurisdiction, allowed: frozenset[str]) -> dict[str, tuple[str, ...]]:
    return {one.name: one.fields_for(place.name) if one.purpose in allowed else () for one in policy.vendors}


def _refused_by(questions: Sequence[Question]) -> dict[Signal, tuple[str, ...]]:
    refused: dict[Signal, tuple[str, ...]] = {}
    for question in questions:
        for signal, _ in () if question.purpose.essential else _refusals(question):
            refused[signal] = (*refused.get(signal, ()), question.purpose.name)
    return refused


def _tracking(policy: Policy, verdicts: tuple[Verdict, ...], dnt: bool | None) -> TrackingStatus:
    """Which tracking status is true of this decision (W3C TPE 6.2). `D` says that a preference was disregarded, so
    it needs one that tracking goes against: `DNT: 0` allows it."""
    if policy.mode is Mode.REPORT:
        return TrackingStatus.UNDER_TEST
    tracking = [one for one in verdicts if one.allowed and one.reason is not Reason.ESSENTIAL]
    if not tracking:
        return TrackingStatus.NOT_TRACKING
    if all(one.reason is Reason.CONSENT_GIVEN for one in tracking):
        return TrackingStatus.CONSENT
    return TrackingStatus.DISREGARDED if dnt else TrackingStatus.TRACKING


def _digest(policy: Policy, key: _Key) -> str:
    material = f"{policy.digest}|{policy.texts_digest}|{key}".encode()
    return hashlib.blake2b(material, digest_size=8).hexdigest()
