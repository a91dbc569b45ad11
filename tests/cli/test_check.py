"""The verbs about policy files and keys, as a shell sees them."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from consent_mw.cli import VERBS, run

POLICIES = Path(__file__).parents[1] / "policies"


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(POLICIES)
    monkeypatch.delenv("SEGMENT_WRITE_KEY", raising=False)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["check", "good_minimal.toml"], 0),
        (["check", "spec.toml"], 0),
        (["check", "spec.toml", "--strict"], 1),
        (["check", "good_minimal.toml", "--strict"], 0),
        (["check", "many.toml"], 1),
        (["check", "not_utf8.toml"], 2),
        (["check", "gone.toml"], 2),
        (["check", "."], 2),
        (["check", "a\0b"], 2),
        (["check"], 2),
        (["check", "spec.toml", "--format", "yaml"], 2),
        (["chek", "spec.toml"], 2),
        (["profile", "show", "../policies/spec"], 2),
        ([], 2),
        (["--help"], 0),
        (["--version"], 0),
        (["check", "--help"], 0),
    ],
)
def test_a_verb_exits_as_the_contract_says(
    arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == code
    assert "Traceback" not in capsys.readouterr().err


def test_check_prints_compiler_style_text(capsys: pytest.CaptureFixture[str]) -> None:
    run(["check", "many.toml"])
    assert capsys.readouterr().out == (POLICIES / "many.out").read_text(encoding="utf-8")


def test_of_a_long_line_is_shown_what_is_around_the_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (POLICIES / "good_minimal.toml").read_text().replace("schema", f"x = [{'1, ' * 500}] # \nschema", 1)
    (tmp_path / "p.toml").write_text(text.replace("[site]", f"[site] # {'a' * 200}\n{'b' * 90}_x = {'c' * 900}", 1))
    assert run(["check", str(tmp_path / "p.toml")]) == 1
    lines = capsys.readouterr().out.splitlines()
    (quoted,) = (number for number, one in enumerate(lines) if "ccc" in one)
    assert (len(lines[quoted]) < 180, lines[quoted][-1]) == (True, "…")
    assert lines[quoted][lines[quoted + 1].index("^")] == "c"


def test_an_unsound_policy_is_told_whole_by_the_verbs_that_need_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "--policy", "unknown_clause.toml"]) == 2
    assert capsys.readouterr().err.startswith("consent-mw: unknown_clause.toml:26:11: error[unknown-clause]: ")
    assert run(["explain", "--policy", "many.toml"]) == 2
    told = capsys.readouterr().err.splitlines()
    number = sum(": error[" in one for one in told)
    assert told[-1] == f"consent-mw: `many.toml` has {number} errors; `consent-mw check` shows the lines"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["check"], "missing argument 'FILE'"),
        (["chek"], "no such command 'chek'"),
        (["check", "--strickt", "x"], "no such option"),
        (["replay", "--policy", "spec.toml"], "missing argument 'LOG...'"),
        (["ledger", "list", "--limit", "0"], "invalid value for '--limit': 0 is not in the range x>=1"),
    ],
)
def test_what_is_typed_wrongly_is_told_as_everything_else_is(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    usage, told = capsys.readouterr().err.splitlines()
    assert usage.startswith("Usage: consent-mw")
    assert told.startswith(f"consent-mw: {sentence}")


def test_check_prints_every_problem_as_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "unknown_clause.toml", "--format", "json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "problems": [
            {
                "file": "unknown_clause.toml",
                "line": 26,
                "column": 11,
                "severity": "error",
                "code": "unknown-clause",
                "message": "signal `dnt` names clause `dtn`, which this policy does not define",
                "help": "did you mean `dnt`, defined on line 21?",
            }
        ]
    }


@pytest.mark.parametrize("file", ["gone.toml", ".", "not_utf8.toml", "empty.toml"])
def test_json_stays_json_whatever_the_file_is(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(["check", file, "--format", "json"])
    told = json.loads(capsys.readouterr().out)["problems"]
    assert all(
        set(one) == {"file", "line", "column", "severity", "code", "message", "help"} and one["help"] for one in told
    )


def test_a_sound_policy_has_no_problems_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "good_minimal.toml", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"problems": []}


def test_a_new_key_is_32_random_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    run(["keys", "new"])
    run(["keys", "new"])
    first, second = capsys.readouterr().out.split()
    assert first != second
    assert len(base64.urlsafe_b64decode(first + "=")) == 32
    assert run(["keys", "new", "--format", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["key"]) == 43


@pytest.mark.parametrize(
    "arguments",
    [["check", "mixmax-2018"], ["check", "mixmax-2018", "--clauses"], ["test", "mixmax-2018", "--strict"]],
    ids=" ".join,
)
def test_a_built_in_policy_is_checked_by_its_name_unless_a_file_has_it(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 0
    Path("mixmax-2018").write_text("nonsense")
    assert run(arguments) == 1


def test_a_policy_without_clauses_rests_on_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", str(POLICIES / "good_minimal.toml"), "--clauses"]) == 0
    told = "the policy quotes no clause: quote the sentences of the published policy as `[[clause]]`\n"
    assert capsys.readouterr().out == told


def test_profiles_are_listed_and_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["profile", "list", "--format", "json"]) == 0
    for row in json.loads(capsys.readouterr().out)["profiles"]:
        assert run(["profile", "show", row["name"]]) == 0
        assert "schema" in capsys.readouterr().out


def test_help_names_every_verb_without_importing_any(capsys: pytest.CaptureFixture[str]) -> None:
    run(["--help"])
    told = capsys.readouterr().out
    assert all(f"  {verb} " in told for verb in VERBS)


def test_a_terminal_without_unicode_gets_escapes_not_a_traceback() -> None:
    command = [sys.executable, "-c", "from consent_mw.cli import main; main()", "check", "wide_characters.toml"]
    done = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"}, check=False)
    assert (done.returncode, done.stderr) == (1, b"")


def test_check_prints_sarif_that_names_rule_place_and_the_other_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "duplicate_cookie.toml", "--format", "sarif"]) == 1
    log = json.loads(capsys.readouterr().out)
    (ran,) = log["runs"]
    (result,) = ran["results"]
    assert (log["version"], ran["tool"]["driver"]["name"]) == ("2.1.0", "consent-mw")
    assert [one["id"] for one in ran["tool"]["driver"]["rules"]] == ["duplicate-cookie"]
    region = {"startLine": 29, "startColumn": 8, "endColumn": 14}
    place = {"artifactLocation": {"uri": "duplicate_cookie.toml"}, "region": region}
    assert (result["ruleId"], result["ruleIndex"], result["level"]) == ("duplicate-cookie", 0, "error")
    assert result["locations"] == [{"physicalLocation": place}]
    (other,) = result["relatedLocations"]
    assert (other["physicalLocation"]["region"]["startLine"], other["message"]) == (21, {"text": "the first one"})


def test_check_prints_commands_for_github(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "duplicate_cookie.toml", "--format", "github"]) == 1
    assert capsys.readouterr().out == (
        "::error file=duplicate_cookie.toml,line=29,col=8,title=duplicate-cookie"
        "::cookie `_ga*` already has a rule on line 21; keep one of the two\n"
    )


def test_a_rule_that_no_case_is_about_is_a_warning_where_there_are_cases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p.toml").write_bytes((POLICIES / "good_minimal.toml").read_bytes())
    assert run(["check", "p.toml", "--strict"]) == 0
    Path("p.cases.toml").write_text('[[case]]\nname = "x"\nexpect = { ask = false }\n')
    capsys.readouterr()
    assert [run(["check", "p.toml"]), run(["check", "p.toml", "--strict", "--format", "json"])] == [0, 1]
    capsys.readouterr()
    assert run(["check", "p.toml", "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)["problems"]
    assert {one["code"] for one in told} == {"rule-without-case"}
    Path("p.cases.toml").write_text("[[case]]\n")
    assert run(["check", "p.toml", "--strict"]) == 0


def test_each_clause_is_told_with_its_rules_and_cases(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(POLICIES.parents[1] / "consent_mw" / "profiles")
    assert run(["check", "mixmax-2018.toml", "--clauses", "--format", "json"]) == 0
    told = {one["id"]: one for one in json.loads(capsys.readouterr().out)["clauses"]}
    (rule,) = told["dnt"]["rules"]
    assert (rule["kind"], rule["name"], rule["cases"]) == (
        "signal",
        "dnt",
        ["Do Not Track is not supported, and the answer says so"],
    )
    assert [one["id"] for one in told.values() if not one["rules"] and not one["informational"]] == []
    assert run(["check", "mixmax-2018.toml", "--clauses"]) == 0
    assert "none of them without a rule" in capsys.readouterr().out


def test_check_prints_the_schema_for_editors(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "--schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "A policy of consent_mw"
