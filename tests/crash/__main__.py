"""`python -m tests.crash --kills 200`: kills the real thing, prints a table, exits 1 where a promise was broken."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path

from tests.crash.run import Plan, Run
from tests.crash.verdict import Verdict


def main() -> int:
    """Run, print, judge."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="repeats a run's choices")
    parser.add_argument("--visitors", type=int, default=24, help="at once")
    parser.add_argument("--keep", type=Path, help="keep store and log in this folder")
    asked = parser.parse_args()
    plan = Plan(asked.seed, asked.kills, asked.visitors)
    print(f"seed {plan.seed}: {plan.kills} kills", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        where = asked.keep or Path(folder)
        where.mkdir(parents=True, exist_ok=True)
        verdict = asyncio.run(_go(plan, where))
    print(table(verdict, plan))
    return int(bool(verdict.breaches))


async def _go(plan: Plan, where: Path) -> Verdict:
    return await Run(plan, where, lambda line: print(line, file=sys.stderr, flush=True)).go()


def table(verdict: Verdict, plan: Plan) -> str:
    """What is told of a run."""
    width = max(map(len, verdict.counts))
    lines = [f"{name:<{width}}  {number:>10,}" for name, number in verdict.counts.items()]
    summary = f"seed {plan.seed}: {verdict.counts['kills']} kills, {verdict.lost} lost, {verdict.leaked} leaked"
    return "\n".join([*lines, *verdict.breaches, summary])


if __name__ == "__main__":
    sys.exit(main())
