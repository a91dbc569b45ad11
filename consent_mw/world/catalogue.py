"""The catalogue of known cookies that comes along: the Open Cookie Database.

Rule: it proposes and never decides; see core/learning.
Source: Open Cookie Database (Apache License 2.0), consent_mw/data/open-cookie-database.csv.
"""

from __future__ import annotations

import csv
import re
from importlib import resources

from consent_mw.core.learning import Known

_DOMAIN = re.compile(r"\.?([a-z0-9-]+(?:\.[a-z0-9-]+)+)", re.IGNORECASE)


def read_catalogue() -> tuple[Known, ...]:
    """Every line of the catalogue."""
    path = resources.files("consent_mw") / "data" / "open-cookie-database.csv"
    text = path.read_text(encoding="utf-8-sig")
    return tuple(_known(row) for row in csv.DictReader(text.splitlines(keepends=True)))


def _known(row: dict[str, str]) -> Known:
    name = row["Cookie / Data Key name"].strip()
    starred = name.endswith("*")
    found = _DOMAIN.search(row["Domain"] or "")
    return Known(
        row["Platform"].strip(),
        row["Category"].strip().lower(),
        name.rstrip("*"),
        starred or row["Wildcard match"].strip() == "1",
        found[1].lower() if found else "",
    )
