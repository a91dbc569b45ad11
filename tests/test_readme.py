"""README is true: its examples run, its verbs, reasons and problem codes are all there are."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from consent_mw import Visit
from consent_mw.asgi.visit import Identity
from consent_mw.cli import VERBS, run
from consent_mw.core.cases import differences
from consent_mw.core.compiler.codes import CODES
from consent_mw.core.ledger import EntryKind
from consent_mw.core.terms import Reason
from consent_mw.wire.receipts import Signer
from consent_mw.wire.token import Keyring
from consent_mw.world.policy_file import parse_policy, read_cases, read_policy, read_profile
from tests.builders import a_decision, a_policy
from tests.world.ledgers import KEY, a_kept_ledger, live

README = (Path(__file__).resolve().parents[1] / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """The fenced blocks in this language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_every_verb_is_in_the_readme() -> None:
    assert [verb for verb in VERBS if f"`consent-mw {verb}" not in README] == []


def test_every_reason_is_in_the_readme() -> None:
    assert [reason.value for reason in Reason if f"| `{reason.value}` |" not in README] == []


def test_every_problem_code_is_in_the_readme_with_its_sentence() -> None:
    assert [code for code, sentence in CODES.items() if f"| `{code}` | {sentence} |" not in README] == []


def test_the_example_policy_loads_without_a_warning() -> None:
    policies = [block for block in blocks("toml") if "schema" in block]
    assert policies
    assert [parse_policy(text, "README.md", base=None).problems for text in policies] == [()] * len(policies)


def test_the_example_of_texts_fits_the_example_policy(tmp_path: Path) -> None:
    (text,) = [block for block in blocks("toml") if "[de.purpose]" in block]
    policy = next(block for block in blocks("toml") if "schema" in block)
    (tmp_path / "texts.toml").write_text(text)
    (tmp_path / "policy.toml").write_text(policy.replace("[site]\n", '[site]\ntexts = "texts.toml"\n', 1))
    reading = read_policy(tmp_path / "policy.toml")
    assert reading.policy is not None
    assert reading.policy.texts["de"]["purpose.analytics"] == "Wir zählen, welche Seiten gelesen werden."


def test_the_example_of_a_visit_runs() -> None:
    rules = a_policy()
    visit = Visit(a_decision(rules, rules.catch_all))
    scope: dict[str, Any] = {}
    exec(blocks("python")[1], scope)
    asyncio.run(scope["endpoint"](SimpleNamespace(scope={"consent_mw": visit})))
    assert visit.identity == Identity("u1", "Ann", "ann@example.com")
    assert [(one.name, dict(one.props)) for one in visit.events] == [("signup", {"plan": "pro"})]


def test_the_commands_about_a_policy_run_as_written(tmp_path: Path) -> None:
    commands = next(block for block in blocks("sh") if "profile show" in block)
    (tmp_path / "policy.toml").write_text(next(block for block in blocks("toml") if "schema" in block))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ran = subprocess.run(
        ["sh", "-e", "-c", commands], cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "A visitor from DE is in jurisdiction eea_uk" in ran.stdout


def test_the_example_of_a_case_holds(tmp_path: Path) -> None:
    (text,) = [block for block in blocks("toml") if "[[case]]" in block]
    (tmp_path / "x.cases.toml").write_text(text)
    policy = parse_policy(read_profile("mixmax-2018"), "x.toml", base=None).policy
    assert policy is not None
    book = read_cases(tmp_path / "x.cases.toml", policy)
    assert book.reading.problems == ()
    assert [differences(one, policy) for one in book.cases] == [()]


def test_the_commands_that_compare_policies_run_as_written(tmp_path: Path) -> None:
    commands = next(block for block in blocks("sh") if "diff before.toml" in block)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ran = subprocess.run(
        ["sh", "-e", "-c", commands], cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "purpose analytics, without an answer: denied (opt-in-default) -> allowed" in ran.stdout
    assert ran.stdout.endswith("something differs\n")


def test_the_example_that_checks_an_export_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = a_kept_ledger(tmp_path / "consent.db")
    live(store)
    store.close()
    run(["ledger", "export", "--store", f"sqlite:///{tmp_path / 'consent.db'}"])
    whole = capsys.readouterr().out.splitlines()
    changed = [line.replace('"vendor": "crm"', '"vendor": "cdn"') for line in whole]
    code = next(block for block in blocks("python") if "ledger.jsonl" in block)
    for lines, said in [
        (whole, ""),
        (changed, "entry 12 is not as it was written\n"),
        (whole[:-2] + whole[-1:], "the end is missing\n"),
        (whole[:-1], "the head is missing\n"),
        (whole[:3] + whole[4:], "entry 3 is not as it was written\n"),
    ]:
        ran = subprocess.run(
            [sys.executable, "-c", code],
            input="\n".join(lines), env={**os.environ, "CONSENT_MW_LEDGER_KEY": KEY}, capture_output=True, text=True,
        )  # fmt: skip
        assert (ran.returncode, ran.stderr) == (int(bool(said)), said)


def test_every_kind_of_entry_is_in_the_readme() -> None:
    assert [kind.value for kind in EntryKind if f"`{kind.value}`" not in README] == []


@pytest.mark.parametrize("code", blocks("python"), ids=lambda code: code.splitlines()[0][:30])
def test_every_python_example_is_python(code: str) -> None:
    ast.parse(code)


def test_the_example_of_a_receipt_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signer = Signer(Keyring(["a key of at least sixteen characters"]))
    (tmp_path / "receipt.jws").write_text(signer.sign({"receipt": "r1"}) + "\n")
    (tmp_path / "keys.json").write_text(json.dumps(signer.jwks()))
    monkeypatch.chdir(tmp_path)
    scope: dict[str, Any] = {}
    exec(next(block for block in blocks("python") if "jwt" in block), scope)
    assert scope["claims"] == {"receipt": "r1"}


def test_the_mounting_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = next(block for block in blocks("toml") if "schema" in block)
    (tmp_path / "policy.toml").write_text(policy)
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {}
    exec(blocks("python")[0], scope)
    assert callable(scope["app"])
