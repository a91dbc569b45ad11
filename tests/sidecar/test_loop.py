"""The loop of the sidecar waits for no other thread longer than it must."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest

from consent_mw.sidecar.loop import YIELDS_WITHIN, new_runner


@pytest.fixture
def interval() -> Iterator[None]:
    before = sys.getswitchinterval()
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("interval")
def test_threads_give_way_early_to_requests() -> None:
    with new_runner() as runner:
        assert runner.run(_where()) == threading.get_ident()
    assert sys.getswitchinterval() == pytest.approx(YIELDS_WITHIN)


async def _where() -> int:
    return threading.get_ident()
