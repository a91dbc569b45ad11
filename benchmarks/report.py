"""What a part of the benchmarks found: tables of figures, each with all its rounds, and the targets judged by them.

Rule: a figure is the list of what its rounds gave; shown are the median and the range, kept is all.
Rule: a target that nothing was measured for is `not measured`, never met.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

TARGETS = ("| target | wanted | measured | by CPU | |", "|---|---|---|---|---|")

Series = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Target:
    """A figure to reach: what it is, what was measured (None: not measured), and its bound. `by_cpu` is what a rate's
    ratio would be were both servers' cores full: the inverse ratio of the CPU that a request takes."""

    text: str
    measured: float | None
    bound: float
    at_least: bool
    unit: str = ""
    by_cpu: float | None = None
    shown: str = ".2f"

    def __str__(self) -> str:
        wanted = f"{'≥' if self.at_least else '≤'} {self.bound:{self.shown}}{self.unit}"
        if self.measured is None:
            return f"| {self.text} | {wanted} | | | not measured |"
        met = self.measured >= self.bound if self.at_least else self.measured <= self.bound
        found = f"{self.measured:{self.shown}}{self.unit}"
        verdict = "met" if met else "**not met**"
        return f"| {self.text} | {wanted} | {found} | {as_text(self.by_cpu)} | {verdict} |"


@dataclass(slots=True)
class Table:
    """Rows of figures under columns; a column is its name and how many digits are shown. `plotted` is the column that
    a plot shows."""

    title: str
    columns: dict[str, int]
    plotted: str = ""
    rows: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def add(self, row: str, column: str, value: float) -> None:
        """One round's figure."""
        self.rows.setdefault(row, {}).setdefault(column, []).append(round(value, 4))

    def figure(self, row: str, column: str) -> float | None:
        """The median of the rounds, or None where nothing was measured."""
        found = self.rows.get(row, {}).get(column)
        return statistics.median(found) if found else None


@dataclass(slots=True)
class Part:
    """What one part found. `skipped` says what could not be measured, and why."""

    name: str
    title: str
    tables: list[Table] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    at: str = field(default_factory=lambda: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))

    def table(self, title: str, columns: dict[str, int], plotted: str = "") -> Table:
        """A further table."""
        made = Table(title, columns, plotted)
        self.tables.append(made)
        return made

    def finish(self, out: Path | None) -> None:
        """Print it, and write it to this file."""
        print(markdown(asdict(self)), flush=True)
        if out is not None:
            out.write_text(json.dumps(asdict(self), indent=1) + "\n", "utf-8")


def arguments(description: str | None) -> argparse.ArgumentParser:
    """What every part takes."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="of each measurement; shown are median and range")
    parser.add_argument("--out", type=Path, help="a file for what was measured, as JSON")
    return parser


def markdown(part: dict[str, Any]) -> str:
    """The part as Markdown: its tables, its notes, its targets."""
    blocks = [f"**{part['title']}** ({part['at'][:10]})"]
    blocks += [_table(one) for one in part["tables"] if one["rows"]]
    blocks += part["notes"]
    blocks += [f"skipped: {name}: {why}" for name, why in part["skipped"].items()]
    if part["targets"]:
        blocks.append("\n".join([*TARGETS, *(str(Target(**one)) for one in part["targets"])]))
    return "\n\n".join(blocks) + "\n"


def _table(table: dict[str, Any]) -> str:
    columns: dict[str, int] = table["columns"]
    lines = ["| " + " | ".join([table["title"], *columns]) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, row in table["rows"].items():
        cells = [spread(row.get(column, ()), digits) for column, digits in columns.items()]
        lines.append("| " + " | ".join([name, *cells]) + " |")
    return "\n".join(lines)


def spread(series: Series, digits: int) -> str:
    """Median and range, as text."""
    kept = [one for one in series if one is not None]
    if not kept:
        return ""
    middle = f"{statistics.median(kept):,.{digits}f}"
    return middle if len(kept) == 1 else f"{middle} ({min(kept):,.{digits}f}-{max(kept):,.{digits}f})"


def as_text(ratio: float | None) -> str:
    """A ratio, or nothing."""
    return "" if ratio is None else f"{ratio:.2f}"


def ratio_of(one: float | None, other: float | None) -> float | None:
    """One to the other, where both were measured."""
    return one / other if one is not None and other else None
