"""From a visit to `consent-mw stats`: mounted, and behind a real sidecar whose workers count into one store."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from consent_mw.cli import run
from consent_mw.core.policy import DAY
from tests.journeys.sidecar import an_origin, serving
from tests.journeys.site import BERLIN, FIREFOX, NEW_YORK, POLICY, Browser, Site, mounted
from tests.sidecar.raw import Origin

PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nok"
NO_PAGE = PAGE.replace(b"200 OK", b"404 Not Found")


@pytest.fixture(autouse=True)
def away_from_midnight() -> None:
    """Let no day end while visits are counted, since each counts its visitors anew."""
    left = DAY - time.time() % DAY
    if left < 40:
        time.sleep(left)


def stats(folder: Path, capture: Any, *flags: str) -> Any:
    """What `consent-mw stats` says of the store in this folder."""
    capture.readouterr()
    assert run(["stats", "--store", f"sqlite:///{folder / 'consent.db'}", "--format", "json", *flags]) == 0
    return json.loads(capture.readouterr().out)


def test_a_visit_is_in_the_statistics_with_its_visitor_only_after_a_yes(tmp_path: Path, capsys: Any) -> None:
    middleware = mounted(
        Site(), tmp_path, POLICY.replace("[identifier]", '[urls]\nredact = ["/reset/*"]\n[identifier]')
    )
    american, berliner = Browser(middleware, NEW_YORK), Browser(middleware, BERLIN)
    for path in ("/", "/", "/pricing?utm_source=ad", "/reset/t0ken", "/u/ann@example.com"):
        american.get(path)
    berliner.get("/")
    berliner.choose(all=True)
    berliner.get("/pricing")
    berliner.choose(all=False)
    berliner.get("/pricing")
    american.close()
    said = stats(tmp_path, capsys, "--by", "page")
    assert said["rows"] == [
        {"page": "/", "views": 3, "visitors": 1},
        {"page": "/pricing", "views": 3, "visitors": 2},
        {"page": "/reset/*", "views": 1, "visitors": 1},
        {"page": "/u/[email]", "views": 1, "visitors": 1},
    ]
    assert said["total"] == {"views": 8, "visitors": 2}


def test_what_passes_without_a_look_at_its_parts_is_counted_as_well(tmp_path: Path, capsys: Any) -> None:
    plain = POLICY.replace('regime = "opt-out"', 'regime = "opt-out"\nbanner = "none"')
    origin = Origin()
    origin.answer = lambda peer, head: peer.sendall(PAGE if head.startswith(b"GET / ") else NO_PAGE)
    with (
        contextlib.closing(origin),
        serving(tmp_path, plain, f"http://127.0.0.1:{origin.port}", "--access-log", "off") as address,
        httpx.Client(base_url=address, trust_env=False, headers={"user-agent": FIREFOX}) as browser,
    ):
        told = {"x-forwarded-for": NEW_YORK, "sec-fetch-dest": "document", "cookie": visit(address, "")}
        for _ in range(20):
            browser.get("/", headers=told)
            browser.get("/", headers=told | {"sec-fetch-dest": "iframe"})
            browser.get("/", headers=told | {"sec-purpose": "prefetch"})
            browser.get("/", headers=told | {"user-agent": "Googlebot/2.1 (+http://www.google.com/bot.html)"})
            browser.get("/", headers=told | {"sec-gpc": "1"})
            browser.get("/", headers=told | {"x-forwarded-for": BERLIN})
            browser.get("/none", headers=told)
    assert stats(tmp_path, capsys, "--by", "page")["rows"] == [{"page": "/", "views": 61, "visitors": 1}]


def test_two_workers_count_into_one_store_and_are_read_while_they_serve(tmp_path: Path, capsys: Any) -> None:
    flags = ("--workers", "2", "--access-log", "off")
    with an_origin() as origin, serving(tmp_path, POLICY, origin.url, *flags) as address:
        cookies = [visit(address, "") for _ in range(4)]
        identities = [one.partition("__Host-vid=")[2].partition(".")[0] for one in cookies]
        assert len(set(identities)) == 4
        for _ in range(3):
            for cookie in cookies:
                visit(address, cookie)
        visit(address, "", BERLIN)
        wait_for(lambda: stats(tmp_path, capsys)["total"]["views"] == 17)
        at_rest = b"".join(one.read_bytes() for one in tmp_path.iterdir())
        visit(address, cookies[0])
    assert [one for one in identities if one.encode() in at_rest] == []
    # What was counted last is stored at the end.
    total, (page,) = stats(tmp_path, capsys)["total"], stats(tmp_path, capsys, "--by", "page")["rows"]
    assert (total["views"], page["page"], page["views"]) == (18, "/", 18)
    # Two of four share a register once in seven hundred times.
    assert {total["visitors"], page["visitors"]} <= {3, 4}
    with sqlite3.connect(tmp_path / "consent.db") as db:
        assert db.execute("SELECT count(DISTINCT key) FROM statistics_days").fetchone() in ((1,), (2,))
    db.close()


def visit(address: str, cookie: str, peer: str = NEW_YORK) -> str:
    """Ask for a page over a connection of its own; what the browser then sends as Cookie."""
    headers = {"x-forwarded-for": peer, "user-agent": FIREFOX, "sec-fetch-dest": "document"}
    answer = httpx.get(f"{address}/", headers=headers | ({"cookie": cookie} if cookie else {}), trust_env=False)
    assert answer.status_code == 200
    set_cookies = [line.partition(";")[0] for line in answer.headers.get_list("set-cookie")]
    return cookie or "; ".join(one for one in set_cookies if one.startswith("__Host-vid="))


def wait_for(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait until this holds."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.2)
