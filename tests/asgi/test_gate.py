"""What the gate remembers is bounded, and belongs to one policy."""

from __future__ import annotations

from pathlib import Path

from consent_mw import load_policy
from consent_mw.asgi.enforcement import Enforcement
from consent_mw.asgi.gate import Gate
from consent_mw.asgi.ruleset import LONGEST_KEPT, NAMES_KEPT, PLACES_KEPT
from consent_mw.core.consent import Consent
from consent_mw.wire.token import Keyring
from tests.journeys.site import BERLIN, KEY, POLICY

DOCUMENT = (b"sec-fetch-dest", b"document")


def a_gate(folder: Path, policy: str = POLICY) -> Gate:
    file = folder / "policy.toml"
    file.write_text(policy)
    return Gate(load_policy(file), Keyring([KEY]))


def jurisdiction(gate: Gate, address: str) -> tuple[str, str]:
    headers = [(b"x-forwarded-for", address.encode()), DOCUMENT]
    decision = gate.admit(b"GET", b"/", headers, "127.0.0.1").decision
    assert decision is not None
    return decision.jurisdiction.name, decision.jurisdiction.regime.value


def test_a_place_seen_before_a_reload_is_judged_by_the_new_policy(tmp_path: Path) -> None:
    gate = a_gate(tmp_path, POLICY.replace('regime = "opt-in"', 'regime = "opt-out"'))
    before = jurisdiction(gate, BERLIN)
    (tmp_path / "policy.toml").write_text(POLICY)
    gate.adopt(load_policy(tmp_path / "policy.toml"))
    assert (before, jurisdiction(gate, BERLIN)) == (("eea_uk", "opt-out"), ("eea_uk", "opt-in"))


def test_rules_that_are_replaced_remember_nobody(tmp_path: Path) -> None:
    gate = a_gate(tmp_path)
    before = gate.rules
    for address in (BERLIN, "192.0.2.1"):
        gate.admit(b"GET", b"/", [(b"x-forwarded-for", address.encode()), (b"cookie", b"a=1")], "127.0.0.1")
    kept = [len(before.jars), len(before.places), bool(before.unanswered), bool(before._enforcements)]
    gate.adopt(load_policy(tmp_path / "policy.toml"))
    left = [len(before.jars), len(before.places), bool(before.unanswered), bool(before._enforcements)]
    assert (kept, left) == ([1, 2, True, True], [0, 0, False, False])


def test_what_visitors_send_fills_no_cache_without_bound(tmp_path: Path) -> None:
    gate = a_gate(tmp_path)
    for number in range(NAMES_KEPT + 10):
        gate.rules.cookie_rule(b"name%d" % number)
    gate.rules.cookie_rule(b"n" * (LONGEST_KEPT + 1))
    for number in range(300):
        gate.admit(b"GET", b"/", [(b"x-forwarded-for", b"%d" % number + b"," * LONGEST_KEPT), DOCUMENT], "127.0.0.1")
    remembered = gate.rules._rules
    assert len(remembered) <= NAMES_KEPT
    assert max(map(len, remembered)) <= LONGEST_KEPT
    assert len(gate.rules.places) == 0 < PLACES_KEPT


def test_who_never_answered_has_the_decision_of_all_who_never_did(tmp_path: Path) -> None:
    gate = a_gate(tmp_path)
    consent = Consent({"analytics": True}, int(gate.now()), gate.policy.revision, issued=int(gate.now()))
    answered = gate.consent_cookie(gate.rules, consent).partition(b";")[0]
    made: dict[bytes, Enforcement] = {}
    for cookie in (b"", b"session=a", b"session=b", answered):
        headers = [(b"x-forwarded-for", BERLIN.encode()), (b"cookie", cookie), DOCUMENT]
        enforcement = gate.admit(b"GET", b"/", headers, "127.0.0.1").enforcement
        assert enforcement is not None
        made[cookie] = enforcement
    assert {cookie: one.decision.allows("analytics") for cookie, one in made.items()} == {
        b"": False, b"session=a": False, b"session=b": False, answered: True
    }  # fmt: skip
    assert list(gate.rules.unanswered.values()) == [made[b""]]
