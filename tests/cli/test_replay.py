"""`replay`, as a shell sees it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from consent_mw.cli import run
from consent_mw.core.consent import Consent
from consent_mw.wire.token import parse_keys
from consent_mw.world.policy_file import load_policy

MIXMAX = Path(__file__).parents[2] / "consent_mw" / "profiles" / "mixmax-2018.toml"
KEY = "a key of at least sixteen characters"

BERLIN, LONDON, NEW_YORK = "2.160.0.1", "81.2.69.142", "6.6.6.6"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CONSENT_MW_KEYS", KEY)
    text = MIXMAX.read_text()
    (tmp_path / "a.toml").write_text(text)
    (tmp_path / "b.toml").write_text(text.replace('regions = ["EEA", "GB"]', 'regions = ["EEA"]'))


def combined(address: str, target: str = "/", method: str = "GET") -> str:
    return f'{address} - - [24/Nov/2026:13:00:00 +0000] "{method} {target} HTTP/1.1" 200 9 "-" "Mozilla/5.0"\n'


def replayed(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    assert run(["replay", *arguments, "--format", "json"]) == code
    return json.loads(capsys.readouterr().out)


def test_visits_are_counted_by_what_is_decided_about_them(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [combined(BERLIN), combined(BERLIN, "/b"), combined(NEW_YORK), combined("not-an-address")]
    Path("x.log").write_text("".join([*lines, combined(BERLIN, "/_consent/state"), "rubbish\n"]))
    assert replayed(capsys, "--policy", "a.toml", "x.log") == {
        "policy": {"file": "a.toml", "revision": "2018-05-22"},
        "lines": 6,
        "visits": 4,
        "excluded": 1,
        "unreadable": 1,
        "undefined": 0,
        "jurisdictions": {"eea_uk": 3, "elsewhere": 1},
        "countries": {"DE": 2, "US": 1, "unknown": 1},
        "purposes": {
            "essential": [{"allowed": True, "reason": "essential", "visits": 4}],
            "analytics": [
                {"allowed": False, "reason": "opt-in-default", "visits": 3},
                {"allowed": True, "reason": "opt-out-default", "visits": 1},
            ],
            "cross_site": [
                {"allowed": False, "reason": "opt-in-default", "visits": 3},
                {"allowed": True, "reason": "opt-out-default", "visits": 1},
            ],
        },
        "vendors": {"segment": 1},
        "banners": {"ask": 3, "notice": 1},
    }


def test_what_another_policy_changes_is_told_by_visit(capsys: pytest.CaptureFixture[str]) -> None:
    Path("x.log").write_text("".join([combined(BERLIN), combined(LONDON), combined(LONDON), combined(NEW_YORK)]))
    told = replayed(capsys, "--policy", "a.toml", "--against", "b.toml", "x.log", code=1)["against"]
    assert (told["changed"], told["changes"][0]) == (
        2,
        {"what": "banner", "before": "ask", "after": "notice", "visits": 2, "countries": {"GB": 2}},
    )
    assert run(["replay", "--policy", "a.toml", "--against", "b.toml", "x.log"]) == 1
    assert "2 of 4 visits change" in capsys.readouterr().out


def test_one_is_counted_as_one(capsys: pytest.CaptureFixture[str]) -> None:
    Path("x.log").write_text(combined(BERLIN) + combined(BERLIN, "/_consent/state") + "rubbish\n")
    assert run(["replay", "--policy", str(MIXMAX), "x.log"]) == 0
    assert capsys.readouterr().out.splitlines()[:3] == [
        f"{MIXMAX}, revision 2018-05-22: 1 visit in 3 lines",
        "    1 request is not under the policy",
        "    1 line could not be read, at x.log:3",
    ]
    with Path("x.log").open("a") as log:
        log.write("rubbish\n" + combined(BERLIN))
    assert run(["replay", "--policy", str(MIXMAX), "x.log"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert (told[0].partition(": ")[2], told[2]) == (
        "2 visits in 5 lines",
        "    2 lines could not be read, the first at x.log:3, x.log:4",
    )


def test_nothing_changes_against_itself(capsys: pytest.CaptureFixture[str]) -> None:
    Path("x.log").write_text(combined(LONDON))
    assert replayed(capsys, "--policy", "a.toml", "--against", "a.toml", "x.log")["against"]["changed"] == 0


def test_signals_and_answers_of_a_json_log_count(capsys: pytest.CaptureFixture[str]) -> None:
    policy = load_policy("a.toml")
    consent = Consent({"analytics": True}, 1_800_000_000, policy.revision, "r", policy.revision, issued=1_800_000_000)
    cookie = f"__Host-consent={parse_keys(KEY).sign_consent(consent)}"
    lines: list[dict[str, object]] = [
        {"ip": NEW_YORK, "method": "GET", "path": "/", "sec_gpc": "1"},
        {"ip": BERLIN, "method": "GET", "path": "/", "cookie": cookie},
        {"ip": BERLIN, "method": "GET", "path": "/", "cookie": "__Host-consent=forged"},
        {"method": "GET", "path": "/", "jurisdiction": "eea_uk"},
        {"method": "GET", "path": "/", "jurisdiction": "of another policy"},
        {"method": "GET", "path": "/", "country": "JP"},
    ]
    Path("x.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    told = replayed(capsys, "--policy", "a.toml", "x.jsonl")
    assert told["purposes"]["analytics"] == [
        {"allowed": True, "reason": "opt-out-default", "visits": 2},
        {"allowed": False, "reason": "opt-in-default", "visits": 2},
        {"allowed": True, "reason": "consent-given", "visits": 1},
    ]
    assert {"allowed": False, "reason": "signal-refuses", "visits": 1} in told["purposes"]["cross_site"]
    assert (told["undefined"], told["visits"]) == (1, 6)


def test_compressed_logs_and_several_are_read(capsys: pytest.CaptureFixture[str]) -> None:
    Path("x.log.gz").write_bytes(gzip.compress(combined(BERLIN).encode()))
    Path("y.log").write_text(combined(NEW_YORK))
    assert replayed(capsys, "--policy", "a.toml", "x.log.gz", "y.log")["countries"] == {"DE": 1, "US": 1}


def test_a_line_without_an_end_is_read_in_bounded_memory(capsys: pytest.CaptureFixture[str]) -> None:
    Path("x.log").write_bytes(b"a" * 3_000_000 + b"\n" + combined(BERLIN).encode())
    told = replayed(capsys, "--policy", "a.toml", "x.log")
    assert (told["lines"], told["unreadable"], told["visits"]) == (2, 1, 1)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n\n",
        bytes(range(256)) * 50,
        b"\xff\xfe" + "x".encode("utf-16"),
        gzip.compress(b"x", mtime=0)[:-4],
        b"\x1f\x8b\x00",
    ],
)
def test_what_is_no_log_cannot_be_replayed(data: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    Path("x.log").write_bytes(data)
    assert run(["replay", "--policy", "a.toml", "x.log"]) == 2
    told = capsys.readouterr()
    assert (told.out, "Traceback" in told.err, len(told.err.splitlines())) == ("", False, 1)


@pytest.mark.parametrize("log", ["gone.log", ".", "a\0b"])
def test_a_log_that_cannot_be_read_is_told(log: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["replay", "--policy", "a.toml", log]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_explain_takes_a_line_of_our_own_log(capsys: pytest.CaptureFixture[str]) -> None:
    line = json.dumps({"method": "GET", "path": "/", "status": 200, "jurisdiction": "elsewhere"})
    assert run(["explain", "--policy", "a.toml", "--from-log", line, "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["jurisdiction"], told["purposes"]["analytics"]["reason"]) == ("elsewhere", "opt-out-default")


def test_explain_takes_a_line_of_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    line = json.dumps({"ip": NEW_YORK, "method": "GET", "path": "/", "sec_gpc": "1"})
    assert run(["explain", "--policy", "a.toml", "--from-log", line, "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["country"], told["signals"]["gpc"], told["purposes"]["cross_site"]["reason"]) == (
        "US",
        True,
        "signal-refuses",
    )
    assert run(["explain", "--policy", "a.toml", "--from-log", "rubbish"]) == 2
    assert "rubbish" not in capsys.readouterr().err
