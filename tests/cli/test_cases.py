"""`test`, as a shell sees it."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from consent_mw.cli import run

PROFILES = Path(__file__).parents[2] / "consent_mw" / "profiles"

FAILS = '[[case]]\nname = "Berlin is free"\ngiven = { country = "DE" }\nexpect = { ask = false, tk = "T;default" }\n'


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("mixmax-2018.toml", "mixmax-2018.cases.toml"):
        (tmp_path / name).write_bytes((PROFILES / name).read_bytes())


def cases(text: str) -> None:
    Path("mixmax-2018.cases.toml").write_text(text)


def test_cases_that_hold_exit_0_and_cover_the_whole_profile(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["test", "mixmax-2018.toml", "--strict"]) == 0
    out = capsys.readouterr().out
    assert (out.count("\nok   ") + 1, "FAIL" in out) == (16, False)
    assert "16 cases, all hold\n\nrules with a case: 15 of 15\nclauses with a case: 26 of 26\n" in out


def test_a_case_that_fails_says_what_came(capsys: pytest.CaptureFixture[str]) -> None:
    cases(FAILS)
    assert run(["test", "mixmax-2018.toml"]) == 1
    assert capsys.readouterr().out == (
        "FAIL Berlin is free\n"
        "     at mixmax-2018.cases.toml:1\n"
        "     ask: expected false, came true\n"
        '     tk: expected "T;default", came "N;none"\n'
        "1 case, 1 failed\n"
    )


def test_what_no_case_covers_is_a_finding_where_that_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    cases('[[case]]\nname = "x"\ngiven = { country = "DE" }\nexpect = { ask = true }\n')
    assert [run(["test", "mixmax-2018.toml", *more]) for more in ([], ["--coverage"], ["--strict"])] == [0, 0, 1]
    assert "vendor `segment` has none" in capsys.readouterr().out


def test_results_are_json_and_junit_too(capsys: pytest.CaptureFixture[str]) -> None:
    cases(FAILS)
    assert run(["test", "mixmax-2018.toml", "--format", "json", "--junit", "out.xml"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["failed"], told["cases"][0]["differences"][0]) == (
        1,
        {"member": "ask", "expected": "false", "came": "true"},
    )
    suite = ET.parse("out.xml").getroot()
    assert (suite.attrib["tests"], suite.attrib["failures"]) == ("1", "1")
    (failure,) = suite.iter("failure")
    assert failure.text == 'ask: expected false, came true\ntk: expected "T;default", came "N;none"'


@pytest.mark.parametrize(
    ("text", "code", "told"),
    [
        ("[[case]]\n", 1, "error[missing-key]"),
        ("[[case]", 1, "error[toml-syntax]"),
        ("\0", 2, "is not text"),
        ("", 1, "has no `[[case]]`"),
        ("\udcff", 2, "error[not-utf-8]"),
        ("x" * 2_000_000, 2, "error[file-too-large]"),
    ],
    ids=["no name", "syntax", "NUL", "empty", "not UTF-8", "too large"],
)
def test_a_mistake_in_the_cases_is_a_finding(
    text: str, code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mixmax-2018.cases.toml").write_text(text, errors="surrogateescape")
    assert run(["test", "mixmax-2018.toml"]) == code
    assert told in capsys.readouterr().out


def test_where_nothing_can_be_run_it_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mixmax-2018.cases.toml").unlink()
    codes = [run(["test", *one]) for one in (["gone.toml"], ["mixmax-2018.toml"], ["."], [])]
    assert (codes, "Traceback" in capsys.readouterr().err) == ([2, 2, 2, 2], False)
