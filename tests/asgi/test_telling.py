"""The state that a visitor gets is the one that is explained, whoever asked before."""

from __future__ import annotations

import json
from itertools import product

import pytest

from consent_mw.asgi.telling import Telling
from consent_mw.core.consent import NO_CONSENT
from consent_mw.core.decision import decide
from consent_mw.core.explain import state
from consent_mw.core.terms import Signal
from tests.builders import EEA_UK, ELSEWHERE, a_consent, a_feature, a_policy, a_signal, a_vendor, some_facts

CONSENTS = (
    NO_CONSENT,
    a_consent(analytics=True, cross_site=False),
    a_consent(analytics=False),
    a_consent(analytics=True, cross_site=False, more={"receipt": 'r"1'}),
    a_consent(analytics=True, cross_site=False, at=7, more={"receipt": "r2"}),
)


@pytest.mark.parametrize("revision", ["2018-05-22", '"consent":0,é'])
def test_a_state_is_what_is_explained_whatever_was_told_before(revision: str) -> None:
    policy = a_policy(
        a_signal(Signal.GPC, "cross_site"),
        revision=revision,
        features=(a_feature("consent"),),
        vendors=(a_vendor("consent"),),
    )
    telling = Telling()
    for _ in range(2):
        for place, country, dnt, gpc, consent in product(
            (EEA_UK, ELSEWHERE), ("", "DE", "US"), (None, False, True), (False, True), CONSENTS
        ):
            facts = some_facts(place, country=country, dnt=dnt, gpc=gpc, consent=consent)
            decision = decide(facts, policy)
            told = json.dumps(state(decision, facts), ensure_ascii=False, separators=(",", ":"))
            assert telling.state(decision, facts) == told.encode()
