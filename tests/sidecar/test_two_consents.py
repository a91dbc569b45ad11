"""A browser that holds a consent under both names: the one that the policy writes counts, and no no is forgotten."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from consent_mw.cli import run
from consent_mw.core.consent import Consent
from consent_mw.wire.token import Keyring
from tests.journeys.site import BERLIN, KEY, POLICY
from tests.sidecar.raw import CLOSE, Origin, a_sidecar, ask

SHARED = POLICY.replace("[site]", '[site]\ncookie_domain = "example.com"').replace("__Host-vid", "__Secure-vid")
NAMES = ("__Host-consent", "__Secure-consent")
EARLY, LATE = 1_900_000_000, 1_900_000_500
YES, NO = {"analytics": True, "cross_site": True}, {"analytics": False, "cross_site": False}


@pytest.fixture(scope="module", params=[(POLICY, 0), (SHARED, 1)], ids=["for this host", "for its subdomains"])
def served(
    request: pytest.FixtureRequest, origin: Origin, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[int, str, str, Path]]:
    """The port, the name that the policy writes, the other name, and where the policy is."""
    policy, own = request.param
    folder = tmp_path_factory.mktemp("two")
    with a_sidecar(folder, origin.port, policy=policy) as (_, port, _admin):
        yield port, NAMES[own], NAMES[1 - own], folder / "policy.toml"


def held(name: str, answers: dict[str, bool], at: int) -> str:
    return f"{name}={Keyring([KEY]).sign_consent(Consent(answers, at, '2026-01', 'r1', '2026-01', issued=at))}"


def state(port: int, *cookies: str) -> dict[str, Any]:
    """What a visitor from Berlin with these cookies is told."""
    head = f"GET /_consent/state HTTP/1.1\r\nX-Forwarded-For: {BERLIN}\r\nCookie: {'; '.join(cookies)}\r\n"
    said: dict[str, Any] = json.loads(ask(port, head.encode() + CLOSE + b"\r\n").partition(b"\r\n\r\n")[2])
    return said


CASES = {
    "a later yes that a subdomain wrote": ((NO, EARLY), (YES, LATE), "refused"),
    "a later no that a subdomain wrote": ((YES, EARLY), (NO, LATE), "refused"),
    "a no that was taken back since": ((YES, LATE), (NO, EARLY), "given"),
    "a later no to one purpose": ((YES, EARLY), ({"cross_site": False, "analytics": True}, LATE), "partial"),
}


@pytest.mark.parametrize("ours_first", [True, False], ids=["own name first", "own name last"])
@pytest.mark.parametrize(("own", "other", "status"), CASES.values(), ids=CASES)
def test_the_name_that_the_policy_writes_counts_and_no_no_is_forgotten(
    served: tuple[int, str, str, Path],
    own: tuple[dict[str, bool], int],
    other: tuple[dict[str, bool], int],
    status: str,
    ours_first: bool,
) -> None:
    port, ours, theirs, _ = served
    cookies = [held(ours, *own), held(theirs, *other)]
    assert state(port, *(cookies if ours_first else reversed(cookies)))["consent"]["status"] == status


def test_an_answer_under_the_other_name_alone_is_not_forgotten(served: tuple[int, str, str, Path]) -> None:
    port, _, theirs, _ = served
    assert state(port, held(theirs, YES, EARLY))["consent"]["status"] == "given"


def test_a_token_that_nobody_signed_is_absence_beside_one_that_was(served: tuple[int, str, str, Path]) -> None:
    port, ours, theirs, _ = served
    forged = f"{theirs}={Keyring(['another-key-of-the-tests-98765']).sign_consent(Consent(NO, LATE, '2026-01'))}"
    assert state(port, forged, held(ours, YES, EARLY))["consent"]["status"] == "given"
    assert state(port, f"{ours}=x", held(theirs, NO, EARLY))["consent"]["status"] == "refused"


def test_the_verbs_read_both_names_as_the_sidecar_does(
    served: tuple[int, str, str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, ours, theirs, policy = served
    monkeypatch.setenv("CONSENT_MW_KEYS", KEY)
    cookies = [held(ours, YES, EARLY), held(theirs, NO, LATE)]
    asked = ["--cookie", cookies[0], "--cookie", cookies[1]]
    assert run(["explain", "--policy", str(policy), "--country", "US", "--format", "json", *asked]) == 0
    assert json.loads(capsys.readouterr().out)["consent"]["status"] == "refused"
    line = {"ip": BERLIN, "method": "GET", "path": "/", "cookie": "; ".join(cookies)}
    (tmp_path / "log").write_text(json.dumps(line) + "\n")
    assert run(["replay", "--policy", str(policy), "--format", "json", str(tmp_path / "log")]) == 0
    refused = [{"allowed": False, "reason": "consent-refused", "visits": 1}]
    assert json.loads(capsys.readouterr().out)["purposes"]["analytics"] == refused
