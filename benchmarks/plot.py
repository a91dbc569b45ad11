"""Plots of what was found: one SVG a table, bars of medians with whiskers from the least to the most.

Rule: colours follow the reader's light or dark scheme; whoever cannot see the picture reads the table beside it.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from html import escape
from typing import Any

from table import TITLES

LEFT, WIDTH, ROW, TOP, BAR = 520, 560, 26, 44, 16
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1a1a1a } .title { font-weight: 600 } .figure { fill: #555 }
.bar { fill: #9bb4c8 } .ours { fill: #1f6f8b } .whisker { stroke: #1a1a1a; stroke-width: 1 }
@media (prefers-color-scheme: dark) {
  text { fill: #eee } .figure { fill: #bbb } .bar { fill: #4d6272 } .ours { fill: #58b4d1 } .whisker { stroke: #eee }
}
"""

Bars = list[tuple[str, list[float]]]


def plots_of(found: dict[str, Any]) -> dict[str, str]:
    """The plots of all parts, by name."""
    made = {}
    for name, part in found["parts"].items():
        for number, (title, bars) in enumerate(charts(part), 1):
            if bars:
                made[f"{name}-{number}"] = drawn(title, bars)
    return made


def charts(part: dict[str, Any]) -> Iterator[tuple[str, Bars]]:
    """What is plotted of a part: a title and its bars."""
    if "curve" in part:
        yield "MiB resident, by requests of strangers", [(f"{sent:,}", [mib]) for sent, mib in part["curve"]]
    elif "tables" in part:
        for table in part["tables"]:
            rows = [(name, row[table["plotted"]]) for name, row in table["rows"].items() if table["plotted"] in row]
            yield f"{part['title']}, {table['title']}: {table['plotted']}", rows
    else:
        rows = [(TITLES.get(row["name"], row["name"]), row["cpu_us"]) for row in part["rows"]]
        yield (
            "Reverse proxies: CPU µs of a request",
            [(name, [one for one in series if one is not None]) for name, series in rows],
        )


def drawn(title: str, bars: Bars) -> str:
    """The chart as SVG."""
    most = max(max(series) for _, series in bars) or 1.0
    height = TOP + ROW * len(bars) + 8
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 110} {height}" role="img">',
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        f'<text class="title" x="8" y="24">{escape(title)}</text>',
    ]
    for number, (name, series) in enumerate(bars):
        lines.append(_bar(name, series, TOP + ROW * number, WIDTH / most))
    return "\n".join([*lines, "</svg>\n"])


def _bar(name: str, series: list[float], y: int, scale: float) -> str:
    middle, least, most = statistics.median(series), min(series), max(series)
    kind = "ours" if "**" in name else "bar"
    text, plain = y + BAR - 3, name.replace("**", "").replace("`", "")
    parts = [
        f'<text x="{LEFT - 10}" y="{text}" text-anchor="end">{escape(plain)}</text>',
        f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{max(1.0, middle * scale):.1f}" height="{BAR}"/>',
    ]
    if most > least:
        across = f'x1="{LEFT + max(0.0, least) * scale:.1f}" x2="{LEFT + max(0.0, most) * scale:.1f}"'
        parts.append(f'<line class="whisker" {across} y1="{y + BAR / 2}" y2="{y + BAR / 2}"/>')
    at = LEFT + max(0.0, most) * scale + 8
    parts.append(f'<text class="figure" x="{at:.1f}" y="{text}">{middle:,.{1 if middle < 1000 else 0}f}</text>')
    return "".join(parts)
