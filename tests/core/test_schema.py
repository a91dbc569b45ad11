"""The JSON Schema for editors agrees with the compiler about shapes, over every policy of the tests."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from consent_mw.core.schema import policy_schema
from consent_mw.errors import Severity
from consent_mw.world.policy_file import read_policy

POLICIES = Path(__file__).parents[1] / "policies"
PROFILES = Path(__file__).parents[2] / "consent_mw" / "profiles"
FILES = sorted([*POLICIES.glob("*.toml"), *(one for one in PROFILES.glob("*.toml") if ".cases." not in one.name)])

OF_SHAPE = {
    "missing-key",
    "unknown-key",
    "wrong-type",
    "unknown-word",
    "duplicate-item",
    "empty-list",
    "unknown-field",
}
"""Codes of mistakes that a schema can see; the others are about what values and names mean."""

SEEN = OF_SHAPE | {
    "empty-text",
    "bad-name",
    "bad-duration",
    "bad-size",
    "bad-path",
    "bad-prefix",
    "bad-percent",
    "bad-endpoint",
    "unsupported-schema",
    "unknown-region",
    "unknown-signal",
    "bad-key",
    "bad-option",
    "bad-file",
    "bad-origin",
    "bad-url",
    "bad-domain",
    "bad-network",
    "bad-header-name",
    "bad-cookie-name",
    "bad-csp-source",
    "bad-revision",
    "no-essential-purpose",
    "no-catch-all",
    "plain-http",
}
"""Codes of which a schema sees some cases."""

VALIDATOR = Draft202012Validator(policy_schema())


def parsed(file: Path) -> dict[str, Any] | None:
    try:
        return tomllib.loads(file.read_bytes().decode())
    except ValueError:
        return None


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(policy_schema())


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_schema_and_compiler_agree(file: Path) -> None:
    values = parsed(file)
    codes = {one.code for one in read_policy(file).problems if one.severity is Severity.ERROR}
    if values is None:
        assert codes
        return
    errors = [error.message for error in VALIDATOR.iter_errors(values)]
    if not codes:
        assert errors == []
    if codes & OF_SHAPE and not codes - OF_SHAPE:
        assert errors != []
    if errors:
        assert codes & SEEN


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"mode": "on"},
        {"site": {"name": "x"}},
        {"purposes": {}},
        {"purpose": {"Bad Name": {}}},
        {"jurisdiction": {"a": {"regions": [], "regime": "opt-in"}}},
        {"jurisdiction": {"a": {"regions": ["*"], "regime": "opt"}}},
        {"signal": {"dnd": {}}},
        {"cookie": [{"name": "a"}]},
        {"vendor": {"v": {"kind": "ga4", "purpose": "a", "endpoint": "https://x/", "fields": ["event"]}}},
        {
            "vendor": {
                "v": {"kind": "webhook", "purpose": "a", "endpoint": "https://x/", "fields": ["event"], "site_id": 1}
            }
        },
        {"vendor": {"v": {"kind": "webhook", "purpose": "a", "endpoint": "https://x/", "fields": ["events"]}}},
        {"retention": {"receipts": "long"}},
        {"outbox": {"overflow": "drop"}},
    ],
    ids=str,
)
def test_a_wrong_shape_is_seen(change: dict[str, Any]) -> None:
    sound = parsed(POLICIES / "good_minimal.toml")
    assert sound is not None
    assert VALIDATOR.is_valid(sound)
    assert not VALIDATOR.is_valid({**sound, **change})
