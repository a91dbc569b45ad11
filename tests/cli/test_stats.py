"""`stats`, as a shell sees it: whole tables, whole JSON, and one sentence for what it cannot run."""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from consent_mw.cli import run
from consent_mw.core.statistics import OTHER, SITE, Tally
from consent_mw.world.store import open_store

MONDAY = (date(2026, 3, 2) - date(1970, 1, 1)).days
KEY = b"a key of the tests, so that all runs estimate alike"[:32]
PEOPLE = [f"visitor-{number}" for number in range(40)]
Shell = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of two days, of which the second is not over."""
    file = tmp_path_factory.mktemp("stats") / "consent.db"
    store = open_store(f"sqlite:///{file}")
    days = {
        MONDAY: {9: {"/": (PEOPLE[:20], 4), "/docs/a": (PEOPLE[:2], 0)}, 11: {"/": (PEOPLE[:10], 40)}},
        MONDAY + 2: {0: {"/": (PEOPLE[:4], 3), "/docs/b": (PEOPLE[:3], 1), OTHER: ([], 7)}},
    }
    for day, hours in days.items():
        store.statistics_key(day).result(10)
        for hour, pages in hours.items():
            site = Tally(SITE, KEY)
            tallies = [site]
            for page, (people, more) in pages.items():
                tally = Tally(page, KEY)
                tallies.append(tally)
                for visitor in (*people, *[""] * more):
                    tally.see(1, visitor)
                    site.see(1, visitor)
            store.add_views([one.seen(day * 24 + hour) for one in tallies], day * 86_400.0).result(10)
    store.end_statistics((MONDAY + 2) * 86_400.0, 0).result(10)
    store.close()
    return file


@pytest.fixture
def shell(stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Shell:
    """`consent-mw stats` in a folder with a copy of that store, on the morning of its second day."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr("time.time", lambda: (MONDAY + 2) * 86_400.0 + 3600)
    shutil.copy(stored, "consent.db")

    def called(*flags: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run(["stats", *flags])
        return (code, *capsys.readouterr())

    return called


TABLES = {
    (): """\
Views and visitors by day, 2026-02-03 to 2026-03-04 (UTC)

day         views  visitors
2026-03-02     76        20  █████████░░░░░░░░░░░░░░░░░░░░░░
2026-03-03      0         0
2026-03-04     18         4  ██░░░░░░
total          94        24

█ visitors  ░ views
Visitors are those who may be counted, each once a day; estimated, to 1.6% (standard error).
""",
    ("--by", "page"): """\
Views and visitors by page, 2026-02-03 to 2026-03-04 (UTC)

page     views  visitors
/           81        24  ███████████░░░░░░░░░░░░░░░░░░░░░░░
(other)      7            ░░░
/docs/b      4         3  ██
/docs/a      2         2  █
total       94        24

█ visitors  ░ views
Visitors are those who may be counted, each once a day; estimated, to 1.6% (standard error).
""",
    ("--by", "hour", "--from", "2026-03-02", "--to", "2026-03-03", "--page", "/"): """\
Views and visitors of / by hour, 2026-03-02 to 2026-03-03 (UTC)

hour               views  visitors
2026-03-02T09:00Z     24        20  ██████████░░
2026-03-02T10:00Z      0         0
2026-03-02T11:00Z     50        10  █████░░░░░░░░░░░░░░░░░░░
total                 74        20

█ visitors  ░ views
Visitors are those who may be counted, each once an hour, in the total once a day; estimated, to 1.6% (standard\
 error).
""",
    ("--page", "/docs/*"): """\
Views and visitors of /docs/* by day, 2026-02-03 to 2026-03-04 (UTC)

day         views  visitors, at most
2026-03-02      2                  2  ███████████
2026-03-03      0                  0
2026-03-04      4                  3  █████████████████░░░░░
total           6                  5

█ visitors  ░ views
Visitors are those who may be counted, each once a day; estimated, to 1.6% (standard error).
Pages know nothing of each other: each row counts a visitor of several of them on each.
""",
    ("--from", "2026-03-03", "--to", "2026-03-03"): """\
Views and visitors by day, 2026-03-03 to 2026-03-03 (UTC)

No page was visited.
""",
}


@pytest.mark.parametrize("flags", TABLES, ids=" ".join)
def test_the_table_has_its_plot_beside_it(shell: Shell, flags: tuple[str, ...]) -> None:
    assert shell(*flags) == (0, TABLES[flags], "")


def test_a_terminal_without_blocks_gets_ascii(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    assert run(["stats", "--page", "/"]) == 0
    sys.stdout.flush()
    assert written.getvalue().decode("ascii").splitlines()[3:] == [
        "2026-03-02     74        20  #########----------------------",
        "2026-03-03      0         0",
        "2026-03-04      7         4  ##-",
        "total          81        24",
        "",
        "# visitors  - views",
        "Visitors are those who may be counted, each once a day; estimated, to 1.6% (standard error).",
    ]


def test_many_pages_are_cut_in_the_table_and_whole_in_json(shell: Shell) -> None:
    store = open_store("sqlite:///consent.db")
    pages = [Tally(f"/{number:02}", b"") for number in range(60)]
    for page in pages:
        page.see(100, "")
    store.add_views([page.seen(MONDAY * 24) for page in pages], MONDAY * 86_400.0).result(10)
    store.close()
    lines = shell("--by", "page")[1].splitlines()
    assert (lines[3].split()[:2], lines[52].split()[:2]) == (["/00", "100"], ["/49", "100"])
    assert lines[54] == "… and 14 more pages, all of them with --format json."
    assert len(json.loads(shell("--by", "page", "--format", "json")[1])["rows"]) == 64


JSON: dict[tuple[str, ...], dict[str, Any]] = {
    (): {
        "from": "2026-02-03",
        "to": "2026-03-04",
        "by": "day",
        "page": None,
        "standard_error": 0.0163,
        "rows": [
            {"day": "2026-03-02", "views": 76, "visitors": 20},
            {"day": "2026-03-04", "views": 18, "visitors": 4},
        ],
        "total": {"views": 94, "visitors": 24},
    },
    ("--by", "hour"): {
        "from": "2026-03-03",
        "to": "2026-03-04",
        "by": "hour",
        "page": None,
        "standard_error": 0.0163,
        "rows": [{"hour": "2026-03-04T00:00Z", "views": 18, "visitors": 4}],
        "total": {"views": 18, "visitors": 4},
    },
    ("--by", "page", "--page", "/docs/*"): {
        "from": "2026-02-03",
        "to": "2026-03-04",
        "by": "page",
        "page": "/docs/*",
        "standard_error": 0.0163,
        "rows": [
            {"page": "/docs/b", "views": 4, "visitors": 3},
            {"page": "/docs/a", "views": 2, "visitors": 2},
        ],
        "total": {"views": 6, "visitors_at_most": 5},
    },
    ("--by", "day", "--page", "/docs/*", "--to", "2026-03-02"): {
        "from": "2026-02-01",
        "to": "2026-03-02",
        "by": "day",
        "page": "/docs/*",
        "standard_error": 0.0163,
        "rows": [{"day": "2026-03-02", "views": 2, "visitors_at_most": 2}],
        "total": {"views": 2, "visitors_at_most": 2},
    },
    ("--by", "page", "--page", "(other)"): {
        "from": "2026-02-03",
        "to": "2026-03-04",
        "by": "page",
        "page": "(other)",
        "standard_error": 0.0163,
        "rows": [{"page": "(other)", "views": 7, "visitors": None}],
        "total": {"views": 7, "visitors": None},
    },
    ("--page", "/größe"): {
        "from": "2026-02-03",
        "to": "2026-03-04",
        "by": "day",
        "page": "/gr%C3%B6%C3%9Fe",
        "standard_error": 0.0163,
        "rows": [],
        "total": {"views": 0, "visitors": 0},
    },
}


@pytest.mark.parametrize("flags", JSON, ids=" ".join)
def test_json_has_all_of_it(shell: Shell, flags: tuple[str, ...]) -> None:
    code, out, errors = shell(*flags, "--format", "json")
    assert (code, json.loads(out), errors) == (0, JSON[flags], "")


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--from", "yesterday"), "consent-mw: --from `yesterday` is not a day such as 2026-01-31"),
        (("--to", "0001-01-01"), "consent-mw: --to `0001-01-01` is not a day such as 2026-01-31"),
        (("--from", "2026-03-02", "--to", "2026-03-01"), "consent-mw: --from 2026-03-02 is after --to 2026-03-01"),
        (("--page", "docs"), "consent-mw: --page `docs` is not a path such as /docs, or /docs/* for all below it"),
        (("--page", ""), "consent-mw: --page `` is not a path such as /docs, or /docs/* for all below it"),
        (("--page", "/*/a"), "consent-mw: --page `/*/a` is not a path such as /docs, or /docs/* for all below it"),
        (
            ("--store", "sqlite:///none.db"),
            "consent-mw: the store `none.db` cannot be read: there is no such file",
        ),
        (
            ("--store", "sqlite:///foreign.db"),
            "consent-mw: the store `foreign.db` cannot be read: it is another program's database",
        ),
        (
            ("--store", "sqlite://consent.db"),
            "consent-mw: a SQLite store needs a file after three slashes, as in sqlite:///consent.db",
        ),
    ],
)
def test_what_cannot_run_is_told_in_a_sentence(shell: Shell, flags: tuple[str, ...], sentence: str) -> None:
    db = sqlite3.connect("foreign.db")
    db.execute("CREATE TABLE t (x)")
    db.close()
    code, out, errors = shell(*flags)
    assert (code, out, errors.splitlines()[-1:]) == (2, "", [sentence])
    assert not Path("none.db").exists()
