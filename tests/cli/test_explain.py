"""`explain`, as a shell sees it: whole decisions, real places, and one sentence for what it cannot read."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from consent_mw.cli import run
from consent_mw.core.consent import Consent
from consent_mw.wire.token import Keyring

KEY = "a key of at least sixteen characters"

POLICY = """\
schema = 1
revision = "2018-05-22"
[site]
name = "Example"
policy_url = "https://example.com/privacy"
[[clause]]
id = "eu-residents"
text = "If you are a resident of the European Union"
[purpose.essential]
essential = true
[purpose.analytics]
text = "Learn which pages are read."
[purpose.cross_site]
text = "Recognise you on other sites."
[jurisdiction.eea_uk]
regions = ["EEA", "GB"]
regime = "opt-in"
clause = ["eu-residents"]
[jurisdiction.elsewhere]
regions = ["*"]
regime = "opt-out"
[signal.gpc]
effect = "refuse"
purposes = ["cross_site"]
[[cookie]]
name = "session"
purpose = "essential"
[[cookie]]
name = "_ga*"
purpose = "analytics"
"""

PURPOSES_LINE, ANALYTICS_LINE, EEA_LINE, ELSEWHERE_LINE, GPC_LINE = 9, 11, 15, 19, 22


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("policy.toml").write_text(POLICY, encoding="utf-8")
    return "policy.toml"


def told(policy: str, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert run(["explain", "--policy", policy, "--format", "json", *arguments]) == 0
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def reasons(answer: dict[str, Any]) -> dict[str, tuple[str, int]]:
    return {name: (one["reason"], one["rule"]["line"]) for name, one in answer["purposes"].items()}


def test_a_first_visit_from_germany_is_told_whole(policy: str, capsys: pytest.CaptureFixture[str]) -> None:
    denied = {
        "allowed": False,
        "reason": "opt-in-default",
        "rule": {"file": "policy.toml", "line": EEA_LINE},
        "clause": ["eu-residents"],
    }
    essential = {
        "allowed": True,
        "reason": "essential",
        "rule": {"file": "policy.toml", "line": PURPOSES_LINE},
        "clause": [],
    }
    answer = told(policy, capsys, "--country", "DE")
    expected = {
        "revision": "2018-05-22",
        "jurisdiction": "eea_uk",
        "country": "DE",
        "regime": "opt-in",
        "purposes": {"essential": essential, "analytics": denied, "cross_site": denied},
        "signals": {"dnt": None, "gpc": False},
        "consent": {"status": "unknown", "at": None, "receipt": None},
        "features": {},
        "vendors": {},
        "ask": True,
        "notice": False,
        "whereabouts": "located",
        "tk": "N;none",
    }
    assert {name: answer[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("arguments", "jurisdiction", "analytics", "cross_site"),
    [
        (["--country", "DE"], "eea_uk", "opt-in-default", "opt-in-default"),
        (["--country", "gb"], "eea_uk", "opt-in-default", "opt-in-default"),
        (["--country", "IS"], "eea_uk", "opt-in-default", "opt-in-default"),
        (["--country", "CH"], "elsewhere", "opt-out-default", "opt-out-default"),
        (["--country", "US-CA"], "elsewhere", "opt-out-default", "opt-out-default"),
        (["--country", "US-CA", "--header", "Sec-GPC: 1"], "elsewhere", "opt-out-default", "signal-refuses"),
        (["--country", "US", "--header", "sec-gpc:1"], "elsewhere", "opt-out-default", "signal-refuses"),
        (["--country", "US", "--header", "DNT: 1"], "elsewhere", "opt-out-default", "opt-out-default"),
        (["--country", "DE", "--yes", "analytics"], "eea_uk", "consent-given", "opt-in-default"),
        (["--country", "US", "--no", "analytics"], "elsewhere", "consent-refused", "opt-out-default"),
        (
            ["--country", "FR", "--yes", "analytics", "--no", "cross_site"],
            "eea_uk",
            "consent-given",
            "consent-refused",
        ),
        (["--ip", "85.214.132.117"], "eea_uk", "opt-in-default", "opt-in-default"),
        (["--ip", "171.64.64.64"], "elsewhere", "opt-out-default", "opt-out-default"),
        (["--ip", "nonsense"], "eea_uk", "opt-in-default", "opt-in-default"),
        (["--ip", "::ffff:171.64.64.64"], "elsewhere", "opt-out-default", "opt-out-default"),
        (["--ip", "192.0.2.1"], "eea_uk", "opt-in-default", "opt-in-default"),
        (["--country", "EU"], "eea_uk", "opt-in-default", "opt-in-default"),
        (["--country", "QQ"], "eea_uk", "opt-in-default", "opt-in-default"),
        (["--country", "ZZ"], "eea_uk", "opt-in-default", "opt-in-default"),
        ([], "eea_uk", "opt-in-default", "opt-in-default"),
    ],
)
def test_places_signals_and_answers_decide(
    arguments: list[str],
    jurisdiction: str,
    analytics: str,
    cross_site: str,
    policy: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answer = told(policy, capsys, *arguments)
    found = (
        answer["jurisdiction"],
        answer["purposes"]["analytics"]["reason"],
        answer["purposes"]["cross_site"]["reason"],
    )
    assert found == (jurisdiction, analytics, cross_site)


def test_every_reason_comes_with_the_line_of_its_rule(policy: str, capsys: pytest.CaptureFixture[str]) -> None:
    answer = told(policy, capsys, "--country", "US", "--header", "Sec-GPC: 1", "--yes", "analytics")
    assert reasons(answer) == {
        "essential": ("essential", PURPOSES_LINE),
        "analytics": ("consent-given", ANALYTICS_LINE),
        "cross_site": ("signal-refuses", GPC_LINE),
    }


def test_text_names_the_rule_and_quotes_the_clause(policy: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "--policy", policy, "--country", "DE"]) == 0
    out = capsys.readouterr().out
    assert f"policy.toml:{EEA_LINE}" in out
    assert "“If you are a resident of the European Union”" in out


def test_each_cookie_is_kept_or_dropped_by_a_named_rule(policy: str, capsys: pytest.CaptureFixture[str]) -> None:
    cookies = ["--cookie", "session=1", "--cookie", "_ga_X=2", "--cookie", "odd=3", "--cookie", "__Host-consent=4"]
    answer = told(policy, capsys, "--country", "DE", *cookies)
    assert [(one["name"], one["kept"], (one["rule"] or {}).get("line")) for one in answer["cookies"]] == [
        ("session", True, 25),
        ("_ga_X", False, 28),
        ("odd", False, None),
        ("__Host-consent", False, None),
    ]


def test_the_forwarded_address_counts_where_the_policy_trusts_it(
    policy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    forwarded = ["--header", "X-Forwarded-For: 171.64.64.64"]
    assert told(policy, capsys, "--ip", "127.0.0.1", *forwarded)["jurisdiction"] == "eea_uk"
    Path(policy).write_text(POLICY + '[client_address]\ntrusted = ["127.0.0.0/8"]\n', encoding="utf-8")
    assert told(policy, capsys, "--ip", "127.0.0.1", *forwarded)["jurisdiction"] == "elsewhere"
    assert told(policy, capsys, "--ip", "85.214.132.117", *forwarded)["jurisdiction"] == "eea_uk"


def test_our_own_cookie_counts_where_a_key_verifies_it(
    policy: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said_no = Consent({"analytics": False}, int(time.time()) - 60, "2018-05-22", "r1")
    cookie = ["--cookie", f"__Host-consent={Keyring([KEY]).sign_consent(said_no)}", "--country", "US"]
    assert told(policy, capsys, *cookie)["consent"]["status"] == "unknown"
    monkeypatch.setenv("CONSENT_MW_KEYS", KEY)
    answer = told(policy, capsys, *cookie, "--yes", "cross_site")
    assert (answer["consent"]["status"], answer["consent"]["receipt"]) == ("partial", "r1")
    assert (answer["purposes"]["analytics"]["reason"], answer["purposes"]["cross_site"]["reason"]) == (
        "consent-refused",
        "consent-given",
    )


def test_a_profile_is_explained_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    answer = told("mixmax-2018", capsys, "--country", "BR", "--header", "DNT: 1")
    assert (answer["jurisdiction"], answer["tk"]) == ("elsewhere", "D;ignored")
    assert answer["purposes"]["analytics"]["rule"]["file"] == "mixmax-2018.toml"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--country", "Germany"],
        ["--country", "DE-"],
        ["--country", "DE", "--ip", "85.214.132.117"],
        ["--header", "garbage"],
        ["--header", ": 1"],
        ["--yes", "analitics"],
        ["--no", "essential"],
        ["--yes", ""],
        ["--yes", "analytics", "--no", "analytics"],
    ],
)
def test_what_cannot_be_read_is_one_sentence(
    arguments: list[str], policy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["explain", "--policy", policy, *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)


@pytest.mark.parametrize("arguments", [["--policy", "gone.toml"], ["--policy", ""], [], ["--policy", "a\0b"]])
def test_without_a_policy_nothing_is_explained(
    arguments: list[str], policy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["explain", *arguments]) == 2
    assert "Traceback" not in capsys.readouterr().err
