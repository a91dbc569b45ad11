"""What is committed together: what waits when a group begins, and where choices come together, what comes soon."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pytest

from consent_mw.world.store.grouping import Grouping, Request
from tests.world.store.rows import done


class Groups(Grouping[str]):
    """Keeps what it is asked for in mind alone, while it may."""

    def __init__(self) -> None:
        self.may = threading.Event()
        self.may.set()
        self.groups: list[str] = []
        super().__init__()

    def _open(self) -> None:
        """There is nothing to open."""

    def _shut(self) -> None:
        """There is nothing to close."""

    def _rest(self) -> float | None:
        return None

    def _commit(self, group: Sequence[Request[str]]) -> None:
        self.may.wait(10)
        self.groups.append("".join(one.work for one in group))
        for one in group:
            one.answer(None)


def test_choices_wait_for_their_like_where_the_last_ones_came_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consent_mw.world.store.grouping.GATHERED_FOR", 0.5)
    store = Groups()
    store.may.clear()
    first = store.ask("a", hurried=True, gathers=True)
    while not store._requests.empty():
        time.sleep(0.001)
    asked = [store.ask(one, hurried=True, gathers=True) for one in "bc"]
    store.may.set()
    for one in (first, *asked):
        done(one)
    # Two came together, so that the next waits a moment, and another comes in it.
    asked = [store.ask("d", hurried=True, gathers=True)]
    time.sleep(0.05)
    asked.append(store.ask("e", hurried=True, gathers=True))
    for one in asked:
        done(one)
    # What is not a choice waits for nobody.
    done(store.ask("f", hurried=True))
    store.close()
    assert store.groups == ["a", "bc", "de", "f"]


def test_a_choice_that_comes_alone_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consent_mw.world.store.grouping.GATHERED_FOR", 30.0)
    store = Groups()
    for one in "abc":
        done(store.ask(one, hurried=True, gathers=True))
    store.close()
    assert store.groups == ["a", "b", "c"]
