"""Patience: a burst is forgiven, a flood is not."""

from __future__ import annotations

from consent_mw.wire.patience import Patience


def test_a_burst_is_forgiven_once() -> None:
    patience = Patience(3, 1.0)
    assert [patience.lasts(100.0) for _ in range(4)] == [True, True, True, False]


def test_patience_comes_back_with_time_and_no_further_than_it_was() -> None:
    patience = Patience(2, 1.0)
    assert [patience.lasts(now) for now in (10.0, 10.0, 11.0, 11.0, 99.0, 99.0, 99.0)] == [
        True, True, True, False, True, True, False,
    ]  # fmt: skip


def test_a_slow_trickle_lasts_for_ever() -> None:
    patience = Patience(2, 1.0)
    assert all(patience.lasts(float(now)) for now in range(1000))
