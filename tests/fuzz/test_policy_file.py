"""Whatever a policy file holds, it becomes a Policy or Problems with sound places; never an exception.

CONSENT_MW_FUZZ is how many examples each target tries.
"""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consent_mw.cli.findings import as_json, as_text
from consent_mw.core.decision import table_of
from consent_mw.world.policy_file import Reading, parse_policy

EXAMPLES = int(os.environ.get("CONSENT_MW_FUZZ", "60"))
FUZZ = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
POLICIES = Path(__file__).parents[1] / "policies"
SEEDS = [path.read_bytes().decode("utf-8", "replace") for path in sorted(POLICIES.glob("*.toml"))]
LINES = sorted({line for seed in SEEDS for line in seed.splitlines()})
VALUES = st.sampled_from(
    [
        "1", "-1", "true", "1.5", "nan", '""', '"*"', '"\\u0000"', "[]", "{}", "[[]]", "[{}]", '["a", 1]', "{a = 1}",
        "1979-05-27", "07:32:00", '"http://["', '"https://[::1%25x]:1"', f'"{"9" * 50}d"', "9" * 30, "'''\n'''",
    ]
)  # fmt: skip


@FUZZ
@given(st.text())
def test_any_text_is_a_reading(text: str) -> None:
    _holds(text)


@FUZZ
@given(st.lists(st.sampled_from(LINES), max_size=40))
def test_any_lines_of_policies_are_a_reading(lines: list[str]) -> None:
    _holds("\n".join(lines))


@FUZZ
@given(st.sampled_from(SEEDS), st.integers(0, 10_000), st.integers(0, 40), st.text(max_size=6))
def test_a_policy_with_a_piece_replaced_is_a_reading(seed: str, at: int, length: int, piece: str) -> None:
    start = at % (len(seed) + 1)
    _holds(seed[:start] + piece + seed[start + length :])


@FUZZ
@given(st.sampled_from(SEEDS), st.integers(0, 10_000), VALUES)
def test_a_policy_with_a_value_of_another_type_is_a_reading(seed: str, at: int, value: str) -> None:
    lines = seed.splitlines() or [""]
    key, equals, _ = lines[at % len(lines)].partition("=")
    lines[at % len(lines)] = f"{key or 'a'}= {value}" if equals else f"a = {value}"
    _holds("\n".join(lines))


def _holds(text: str) -> None:
    reading: Reading = parse_policy(text, "p.toml", base=None)
    errors = [one for one in reading.problems if one.severity == "error"]
    assert (reading.policy is None) == bool(errors)
    lines = reading.source.split("\n")
    for one in reading.problems:
        assert 1 <= one.place.line <= len(lines)
        assert 1 <= one.place.column <= len(lines[one.place.line - 1]) + 1
        assert as_json(one)["message"]
        assert "\n" not in one.message + one.help
    assert as_text(reading, "p.toml")
    if reading.policy is not None:
        assert reading.policy.catch_all
        assert table_of(reading.policy)
