"""`diff`, as a shell sees it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from consent_mw.cli import run

POLICIES = Path(__file__).parents[1] / "policies"
MIXMAX = Path(__file__).parents[2] / "consent_mw" / "profiles" / "mixmax-2018.toml"


@pytest.fixture
def changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The profile without the United Kingdom and without one field, with GPC ignored."""
    monkeypatch.chdir(tmp_path)
    text = MIXMAX.read_text()
    for old, new in (
        ('regions = ["EEA", "GB"]', 'regions = ["EEA"]'),
        ('"region", "city",', '"region",'),
        ('revision = "2018-05-22"', 'revision = "2019"'),
    ):
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "b.toml").write_text(text)
    (tmp_path / "a.toml").write_text(MIXMAX.read_text())
    return "b.toml"


def test_what_changes_is_printed_for_people(changed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["diff", "a.toml", changed]) == 1
    assert capsys.readouterr().out == (POLICIES / "diff.txt").read_text()


def test_what_changes_is_json_too(changed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["diff", "mixmax-2018", changed, "--format", "json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert list(told) == ["before", "after", "changes", "laxer", "stricter", "neither"]
    assert told["before"] == {"file": "mixmax-2018.toml", "revision": "2018-05-22"}
    first = told["changes"][0]
    assert list(first) == ["direction", "kind", "name", "before", "after", "regions", "when", "was", "now"]
    assert (first["direction"], first["regions"], first["was"]["file"]) == ("laxer", ["GB"], "mixmax-2018.toml")


def test_nothing_differs_between_a_policy_and_itself(changed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["diff", changed, changed]) == 0
    assert capsys.readouterr().out.endswith("nothing differs\n")


@pytest.mark.parametrize("arguments", [["a.toml"], ["a.toml", "gone.toml"], ["a.toml", "."]])
def test_what_cannot_be_compared_is_told(
    arguments: list[str], changed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["diff", *arguments]) == 2
    assert "Traceback" not in capsys.readouterr().err
