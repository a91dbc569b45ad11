"""Consent: what one person chose, and what that choice still says today."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_mw.core.consent import NO_CONSENT, Consent, Standing, choose, standing, together
from consent_mw.core.policy import DAY
from consent_mw.core.terms import Answer, Status
from tests.builders import EEA_UK, ELSEWHERE, ESSENTIAL, NOW, REVISION, a_consent, a_policy

POLICY = a_policy()
NONE, YES, NO = Answer.NONE, Answer.YES, Answer.NO

OLD = NOW - EEA_UK.lasts - 1
JUST_IN_TIME = NOW - EEA_UK.lasts

STANDINGS = [
    pytest.param(NO_CONSENT, Status.UNKNOWN, (NONE, NONE), id="never answered"),
    pytest.param(a_consent(analytics=True, cross_site=True), Status.GIVEN, (YES, YES), id="yes to all"),
    pytest.param(a_consent(analytics=False, cross_site=False), Status.REFUSED, (NO, NO), id="no to all"),
    pytest.param(a_consent(analytics=True, cross_site=False), Status.PARTIAL, (YES, NO), id="mixed"),
    pytest.param(a_consent(analytics=True), Status.GIVEN, (YES, NONE), id="one yes, the other never asked"),
    pytest.param(a_consent(analytics=False), Status.REFUSED, (NO, NONE), id="one no, the other never asked"),
    pytest.param(a_consent(at=JUST_IN_TIME, analytics=True), Status.GIVEN, (YES, NONE), id="on its last second"),
    pytest.param(a_consent(at=OLD, analytics=True), Status.EXPIRED, (NONE, NONE), id="a yes a second too old"),
    pytest.param(a_consent(at=OLD, analytics=False), Status.EXPIRED, (NO, NONE), id="a no as old"),
    pytest.param(a_consent(at=1, analytics=False), Status.EXPIRED, (NO, NONE), id="a no of half a century"),
    pytest.param(a_consent(revision="2017", analytics=True), Status.OUTDATED, (NONE, NONE), id="an outdated yes"),
    pytest.param(a_consent(revision="2017", analytics=False), Status.OUTDATED, (NO, NONE), id="an outdated no"),
    pytest.param(
        a_consent(revision="2017", at=1, cross_site=True), Status.OUTDATED, (NONE, NONE), id="outdated, old"
    ),
    pytest.param(a_consent(profiling=True), Status.UNKNOWN, (NONE, NONE), id="an answer to something not asked"),
    pytest.param(a_consent(essential=False), Status.UNKNOWN, (NONE, NONE), id="a no to what needs no consent"),
    pytest.param(a_consent(at=NOW + 60, analytics=True), Status.GIVEN, (YES, NONE), id="a clock that ran ahead"),
]


@pytest.mark.parametrize(("consent", "status", "answers"), STANDINGS)
def test_a_consent_says_today(consent: Consent, status: Status, answers: tuple[Answer, ...]) -> None:
    assert standing(consent, POLICY, EEA_UK, NOW) == Standing(status, (NONE, *answers))


def test_how_long_an_answer_lasts_is_the_jurisdiction_s() -> None:
    consent = a_consent(at=NOW - 100 * DAY, analytics=True)
    short = replace(EEA_UK, lasts=90 * DAY)
    assert standing(consent, POLICY, short, NOW).status is Status.EXPIRED
    assert standing(consent, POLICY, ELSEWHERE, NOW).status is Status.GIVEN


CHOICES = [
    pytest.param(
        NO_CONSENT, {"analytics": True, "cross_site": True}, {"analytics": True, "cross_site": True}, id="accept all"
    ),
    pytest.param(
        a_consent(analytics=True),
        {"cross_site": False},
        {"analytics": True, "cross_site": False},
        id="one more answer",
    ),
    pytest.param(a_consent(analytics=True), {"analytics": False}, {"analytics": False}, id="a change of mind"),
    pytest.param(a_consent(analytics=False), {}, {"analytics": False}, id="nothing new"),
    pytest.param(
        a_consent(at=OLD, analytics=True, cross_site=False),
        {},
        {"cross_site": False},
        id="an expired yes is not revived, the no is kept",
    ),
    pytest.param(
        a_consent(revision="2017", analytics=True),
        {"cross_site": True},
        {"cross_site": True},
        id="nor an outdated one",
    ),
    pytest.param(
        a_consent(profiling=False), {"analytics": True}, {"profiling": False, "analytics": True}, id="a no to be kept"
    ),
    pytest.param(
        a_consent(revision="2017", profiling=False, tracking=True),
        {"analytics": True},
        {"profiling": False, "analytics": True},
        id="of purposes not defined now, the no is kept and the stale yes is not",
    ),
    pytest.param(NO_CONSENT, {"essential": False, "nonsense": True}, {}, id="what nobody may answer"),
]


@pytest.mark.parametrize(("before", "chosen", "answers"), CHOICES)
def test_a_choice_keeps_what_it_does_not_name(
    before: Consent, chosen: dict[str, bool], answers: dict[str, bool]
) -> None:
    assert choose(before, chosen, POLICY, EEA_UK, NOW) == Consent(
        answers=answers, at=NOW, revision=REVISION, receipt="", seen=REVISION, minor=False, issued=NOW
    )


def test_a_choice_keeps_the_receipt_and_that_someone_is_a_minor() -> None:
    before = a_consent(analytics=True, more={"receipt": "r1", "minor": True})
    after = choose(before, {"analytics": False}, POLICY, EEA_UK, NOW)
    assert (after.receipt, after.minor) == ("r1", True)


purposes = st.sampled_from(["essential", "analytics", "cross_site", "gone"])
answers = st.dictionaries(purposes, st.booleans())
moments = st.sampled_from([0, 1, OLD, JUST_IN_TIME, NOW - 1, NOW, NOW + 60])
consents = st.builds(Consent, answers=answers, at=moments, revision=st.sampled_from(["", "2017", REVISION]))
places = st.sampled_from([EEA_UK, ELSEWHERE])


@given(consents, answers, places)
def test_no_choice_forgets_a_no_that_it_does_not_name(
    consent: Consent, chosen: dict[str, bool], place: object
) -> None:
    after = choose(consent, chosen, POLICY, EEA_UK if place is EEA_UK else ELSEWHERE, NOW)
    named = {name for name in chosen if name != "essential" and name != "gone"}
    noes = {name for name, yes in consent.answers.items() if not yes}
    assert all(after.answers[name] is False for name in noes - named)


@given(consents, answers)
def test_what_stood_before_a_choice_stands_after_it(consent: Consent, chosen: dict[str, bool]) -> None:
    before = standing(consent, POLICY, EEA_UK, NOW).answers
    after = standing(choose(consent, chosen, POLICY, EEA_UK, NOW), POLICY, EEA_UK, NOW).answers
    asked = [
        YES if chosen[one.name] else NO for one in POLICY.purposes if one.name in chosen and one is not ESSENTIAL
    ]
    kept = [
        (was, now)
        for one, was, now in zip(POLICY.purposes, before, after, strict=True)
        if one.name not in chosen or one is ESSENTIAL
    ]
    said = [
        now for one, now in zip(POLICY.purposes, after, strict=True) if one.name in chosen and one is not ESSENTIAL
    ]
    assert said == asked
    assert all(was == now for was, now in kept)


@given(consents, places)
def test_standing_reads_and_never_writes(consent: Consent, place: object) -> None:
    before = dict(consent.answers)
    standing(consent, POLICY, EEA_UK if place is EEA_UK else ELSEWHERE, NOW)
    assert consent.answers == before


@given(consents, st.integers(min_value=0, max_value=10_000 * DAY))
def test_a_no_holds_for_ever(consent: Consent, later: int) -> None:
    now = standing(consent, POLICY, EEA_UK, NOW).answers
    then = standing(consent, POLICY, EEA_UK, NOW + later).answers
    assert [one is NO for one in now] == [one is NO for one in then]


EARLY, LATE = NOW - 2 * DAY, NOW - DAY

HELD = {
    "the own yes beats a later yes of another purpose": (
        a_consent(at=EARLY, analytics=True), a_consent(at=LATE, cross_site=True), {"analytics": True},
    ),
    "the own no beats a later yes": (
        a_consent(at=EARLY, analytics=False), a_consent(at=LATE, analytics=True), {"analytics": False},
    ),
    "the own yes beats an earlier no": (
        a_consent(at=LATE, analytics=True), a_consent(at=EARLY, analytics=False), {"analytics": True},
    ),
    "a later no beats the own yes": (
        a_consent(at=EARLY, analytics=True), a_consent(at=LATE, analytics=False), {"analytics": False},
    ),
    "a no of the same second beats the own yes": (
        a_consent(at=LATE, analytics=True), a_consent(at=LATE, analytics=False), {"analytics": False},
    ),
    "of a later answer that is mixed only the no counts": (
        a_consent(at=EARLY, analytics=True),
        a_consent(at=LATE, analytics=False, cross_site=True),
        {"analytics": False},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("own", "other", "answers"), HELD.values(), ids=HELD)
def test_of_two_consents_the_own_one_counts_with_every_later_no(
    own: Consent, other: Consent, answers: dict[str, bool]
) -> None:
    assert together(own, other) == replace(own, answers=answers)


def test_a_consent_that_is_alone_counts_whatever_it_is_called() -> None:
    held = a_consent(analytics=True)
    assert (together(held, NO_CONSENT), together(NO_CONSENT, held)) == (held, held)
    assert together(NO_CONSENT, NO_CONSENT) is NO_CONSENT


def test_a_minor_is_one_by_either_consent() -> None:
    minor = a_consent(at=EARLY, more={"minor": True})
    assert together(a_consent(analytics=True), minor).minor
    assert together(minor, a_consent(analytics=True)).minor


@given(
    st.dictionaries(st.sampled_from(["analytics", "cross_site"]), st.booleans(), min_size=1),
    st.dictionaries(st.sampled_from(["analytics", "cross_site"]), st.booleans()),
    st.integers(EARLY, LATE),
)
def test_another_consent_never_allows_what_the_own_one_does_not(
    own: dict[str, bool], other: dict[str, bool], at: int
) -> None:
    held = a_consent(at=(EARLY + LATE) // 2, **own)
    both = together(held, a_consent(at=at, **other))
    agreed = {name for name, yes in both.answers.items() if yes}
    assert agreed <= {name for name, yes in own.items() if yes}
