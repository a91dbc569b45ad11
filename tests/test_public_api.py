"""The public names are reviewed: a change of them shows in tests/public_api.txt."""

from pathlib import Path

import consent_mw


def test_the_public_names_are_the_reviewed_ones() -> None:
    reviewed = Path(__file__).with_name("public_api.txt").read_text().split()
    assert sorted(consent_mw.__all__) == reviewed


def test_every_public_name_says_what_it_is() -> None:
    silent = [name for name in consent_mw.__all__ if not (getattr(consent_mw, name).__doc__ or "").strip()]
    assert silent == []
