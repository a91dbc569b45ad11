"""Policy files as people write them: `tests/policies/NAME.toml` is told as `NAME.out` says.

Set CONSENT_MW_UPDATE_GOLDEN=1 to rewrite the `.out` files, and read the difference before it is committed.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from consent_mw.cli.findings import as_text
from consent_mw.core.compiler import CODES
from consent_mw.core.policy import DAY, SignalEffect
from consent_mw.core.terms import Banner, Effect, Regime, SameSite, Signal
from consent_mw.errors import Place, PolicyError, Problem, Severity
from consent_mw.world.policy_file import MAX_BYTES, load_policy, parse_policy, read_policy, where_cases_stand

POLICIES = Path(__file__).parents[1] / "policies"
SOURCES = Path(__file__).parents[2] / "consent_mw"
NAMES = sorted(path.stem for path in POLICIES.glob("*.toml"))
GOOD = [name for name in NAMES if name.startswith("good_") or name == "spec"]
OF_CASES = {"unknown-vendor", "unknown-feature", "rule-without-case"}
OF_THE_FILE = {"no-such-file", "unreadable-file", "file-too-large"}


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(POLICIES)
    monkeypatch.delenv("SEGMENT_WRITE_KEY", raising=False)


@pytest.mark.parametrize("name", NAMES)
def test_a_policy_file_is_told_as_its_golden_text_says(name: str) -> None:
    told = as_text(read_policy(f"{name}.toml"), f"{name}.toml") + "\n"
    golden = POLICIES / f"{name}.out"
    if os.environ.get("CONSENT_MW_UPDATE_GOLDEN"):
        golden.write_text(told, encoding="utf-8")
    assert told == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", GOOD)
def test_a_good_policy_loads(name: str) -> None:
    assert load_policy(f"{name}.toml").catch_all.regions >= {"*"}


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(GOOD)))
def test_problems_are_sorted_quote_the_file_and_are_told_in_house_style(name: str) -> None:
    problems = read_policy(f"{name}.toml").problems
    assert problems
    assert list(problems) == sorted(problems, key=lambda one: one.place)
    for one in problems:
        assert re.fullmatch(r"[a-z`].*[^.]", one.message), one.message
        assert re.fullmatch(r"[a-z`].*[^.]", one.help), one.help


def test_every_code_is_exercised_and_every_code_used_is_documented() -> None:
    exercised = {one.code for name in NAMES for one in read_policy(f"{name}.toml").problems}
    assert exercised | OF_THE_FILE | OF_CASES == set(CODES)
    assert all(sentence.endswith(".") for sentence in CODES.values())


def test_every_code_named_in_the_sources_is_documented() -> None:
    files = [
        *SOURCES.glob("core/compiler/*.py"),
        SOURCES / "wire/toml.py",
        SOURCES / "world/policy_file.py",
        SOURCES / "cli/check.py",
    ]
    text = "".join(path.read_text(encoding="utf-8") for path in files if path.name != "codes.py")
    assert set(CODES) <= set(re.findall(r'"([a-z0-9]+(?:-[a-z0-9]+)+)"', text)) | {"unknown-purpose"} | {
        "unknown-jurisdiction",
        "unknown-clause",
        "unknown-vendor",
        "unknown-feature",
    }


def test_the_policy_of_the_contract_compiles_to_what_it_says() -> None:
    policy = load_policy("spec.toml")
    assert [one.name for one in policy.purposes] == ["essential", "analytics", "cross_site"]
    assert [(one.name, one.regime, one.banner, one.lasts) for one in policy.jurisdictions] == [
        ("eea_uk", Regime.OPT_IN, Banner.ASK, 182 * DAY),
        ("elsewhere", Regime.OPT_OUT, Banner.NOTICE, 182 * DAY),
    ]
    assert policy.signals[Signal.GPC].everywhere.purposes == {"cross_site"}
    assert policy.signals[Signal.DNT].everywhere.clauses == ("dnt",)
    (cookie,) = policy.cookies
    assert (cookie.pattern, cookie.lasts, cookie.secure, cookie.same_site) == ("_ga*", 395 * DAY, True, SameSite.LAX)
    assert policy.vendors[0].fields_for("eea_uk") == (
        "event",
        "time",
        "visitor_id",
        "page_path",
        "browser",
        "country",
    )
    assert policy.outbox.max_size == 2_000_000_000
    assert policy.client_address.trusted == ("127.0.0.0/8", "::1/128")


def test_a_signal_may_differ_by_jurisdiction_and_is_ignored_elsewhere() -> None:
    rule = load_policy("good_overrides.toml").signals[Signal.DNT]
    assert rule.everywhere == SignalEffect(Effect.IGNORE, Place("good_overrides.toml", 31, 9), clauses=("dnt",))
    assert rule.effect_in("eea") == SignalEffect(
        Effect.REFUSE, Place("good_overrides.toml", 33, 4), frozenset({"analytics"}), ("dnt",)
    )


def test_relative_paths_start_at_the_policy_files_folder(tmp_path: Path) -> None:
    text = (POLICIES / "missing_files.toml").read_text(encoding="utf-8")
    (tmp_path / "p.toml").write_text(text, encoding="utf-8")
    policy = load_policy(tmp_path / "p.toml")
    assert policy.geo.databases == ("builtin", str(tmp_path / "gone.mmdb"))
    assert policy.site.texts == str(tmp_path / "gone.toml")


def test_the_digest_is_of_the_files_bytes(tmp_path: Path) -> None:
    data = (POLICIES / "good_minimal.toml").read_bytes()
    (tmp_path / "p.toml").write_bytes(data)
    (tmp_path / "q.toml").write_bytes(data + b"\n")
    one, other = load_policy(tmp_path / "p.toml"), load_policy(tmp_path / "q.toml")
    assert re.fullmatch(r"[0-9a-f]{16}", one.digest)
    assert one.digest != other.digest
    assert one.digest == parse_policy(data.decode(), "p.toml", base=None).policy.digest  # type: ignore[union-attr]


def test_a_byte_order_mark_and_windows_line_ends_are_fine(tmp_path: Path) -> None:
    text = (POLICIES / "good_minimal.toml").read_bytes().replace(b"\n", b"\r\n")
    (tmp_path / "p.toml").write_bytes(b"\xef\xbb\xbf" + text)
    assert load_policy(tmp_path / "p.toml").site.name == "Example"


def test_a_set_variable_is_no_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "unset-variable" in {one.code for one in read_policy("spec.toml").problems}
    monkeypatch.setenv("SEGMENT_WRITE_KEY", "k")
    assert "unset-variable" not in {one.code for one in read_policy("spec.toml").problems}


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("gone.toml", "no-such-file"),
        (".", "unreadable-file"),
        ("spec.toml/x", "unreadable-file"),
        ("a\0b", "unreadable-file"),
    ],
    ids=["missing", "directory", "beneath a file", "impossible name"],
)
def test_a_file_that_cannot_be_read_is_a_problem(path: str, code: str) -> None:
    reading = read_policy(path)
    assert reading.policy is None
    assert [(one.code, one.severity) for one in reading.problems] == [(code, Severity.ERROR)]


def test_a_file_of_more_than_a_mebibyte_is_not_parsed(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_bytes(b"#" * (MAX_BYTES + 1))
    assert [one.code for one in read_policy(tmp_path / "p.toml").problems] == ["file-too-large"]


def test_load_policy_raises_with_every_problem_warnings_included() -> None:
    with pytest.raises(PolicyError) as caught:
        load_policy("networks.toml")
    problems: tuple[Problem, ...] = caught.value.problems
    assert {one.severity for one in problems} == {Severity.ERROR, Severity.WARNING}
    assert str(caught.value) == "\n".join(str(one) for one in problems)


@pytest.mark.parametrize(
    "nested", ["a = " + "[" * 20_000, "a = " + "1" * 5_000, "a." * 2_000 + "b = 1", "[[a]]\n" * 500]
)
def test_extreme_documents_are_problems_not_exceptions(nested: str) -> None:
    assert parse_policy(nested, "p.toml", base=None).policy is None


CITED = """
schema = 1
revision = "1"
[site]
name = "Example"
policy_url = "https://example.com/privacy"
[[clause]]
id = "gpc"
text = "We honour Global Privacy Control"
[purpose.essential]
essential = true
[purpose.analytics]
text = "Learn which pages are read."
[jurisdiction.all]
regions = ["*"]
regime = "opt-out"
[signal.gpc]
effect = "refuse"
purposes = ["analytics"]
clause = ["gpc"]
"""
HOLDS = """
[[case]]
name = "holds"
given = { country = "US", gpc = true }
expect = { denies = ["analytics"] , allows = ["essential"] }
"""
FAILS = HOLDS.replace("holds", "fails").replace("gpc = true", "gpc = false")
HELD = dict.fromkeys(
    [("jurisdiction", "all"), ("purpose", "essential"), ("purpose", "analytics"), ("signal", "gpc")], ("holds",)
)


@pytest.mark.parametrize(
    ("cases", "proof"),
    [(HOLDS, HELD), (HOLDS + FAILS, HELD), (FAILS, {}), (HOLDS + "[[case]]\n", None), (None, None)],
    ids=["one that holds", "one that does not", "none that holds", "mistakes", "no file"],
)
def test_only_cases_that_hold_prove_a_rule(
    tmp_path: Path, cases: str | None, proof: dict[tuple[str, str], tuple[str, ...]] | None
) -> None:
    (tmp_path / "a.toml").write_text(CITED)
    if cases is not None:
        (tmp_path / "a.cases.toml").write_text(cases)
    assert load_policy(tmp_path / "a.toml").proof == proof


def test_cases_of_a_policy_without_a_name_stand_in_its_folder() -> None:
    assert [str(where_cases_stand(one)) for one in ("a.toml", "d/a", "")] == [
        "a.cases.toml",
        "d/a.cases.toml",
        "policy.cases.toml",
    ]
