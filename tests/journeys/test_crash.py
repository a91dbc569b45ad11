"""Nothing that was promised is lost, and nothing that was refused leaves, however it is killed: a short crash run.

`make crash` is the long one; a seed that fails there is repeated by `python -m tests.crash --seed N`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.crash.run import Plan, Run
from tests.crash.service import Form

SHORT = Plan(seed=1, kills=6, visitors=10, lives=(5, 40), forms=(Form.ALONE, Form.WORKERS, Form.MOUNTED))


def test_six_kills_lose_nothing_and_leak_nothing(tmp_path: Path) -> None:
    verdict = asyncio.run(Run(SHORT, tmp_path).go())
    assert verdict.breaches == []
    assert verdict.counts["kills"] == 6
    assert verdict.counts["events promised"] > 0
