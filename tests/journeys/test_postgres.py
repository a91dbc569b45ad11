"""Sidecars on several machines with one PostgreSQL database: what one queues another delivers, once, or recalls."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from consent_mw import ConsentMiddleware
from tests.journeys.sidecar import an_origin, serving
from tests.journeys.site import FIREFOX, KEY, NEW_YORK, POLICY, VENDOR, Browser, Site, receiving
from tests.postgres import ESCAPED, Cluster, a_cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL server for the journeys."""
    with a_cluster() as running:
        yield running


class Visitor:
    """A New Yorker, whose cookies go to whichever machine answers."""

    def __init__(self) -> None:
        self.cookies: dict[str, str] = {}

    def ask(self, method: str, url: str, **more: Any) -> httpx.Response:
        """Ask this machine."""
        headers = {"host": "example.com", "x-forwarded-for": NEW_YORK, "user-agent": FIREFOX}
        headers |= {"sec-fetch-dest": "document", "sec-fetch-site": "same-origin"}
        headers["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = httpx.request(method, url, headers=headers, timeout=15, **more)
        for line in answer.headers.get_list("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer


def waiting(url: str) -> int:
    """How many rows wait in the outbox."""
    with psycopg.connect(url, autocommit=True) as db:
        found = db.execute("SELECT count(*) FROM outbox").fetchone()
    return int(found[0]) if found else -1


def test_what_is_seen_by_two_machines_is_delivered_once_each(cluster: Cluster, tmp_path: Path) -> None:
    url = cluster.place()
    ann = Visitor()
    with receiving() as vendor, an_origin() as origin:
        policy = POLICY + VENDOR.format(port=vendor.server_address[1])
        with (
            serving(tmp_path, policy, origin.url, "--store", url) as one,
            serving(tmp_path, policy, origin.url, "--store", url, "--workers", "2") as two,
        ):
            for machine in (one, two, one, two, two):
                assert ann.ask("GET", machine).status_code == 200
            events = vendor.wait_for(5, 20)
            until = time.monotonic() + 10
            while waiting(url) and time.monotonic() < until:
                time.sleep(0.05)
            assert waiting(url) == 0
        assert len(vendor.events) == len({event["id"] for event in events}) == 5
    assert {(event["data"]["event"], event["data"]["page_path"]) for event in events} == {("page_view", "/")}
    assert len({event["data"]["visitor_id"] for event in events}) == 1


def test_a_withdrawal_at_one_machine_recalls_what_another_one_queued(cluster: Cluster, tmp_path: Path) -> None:
    url = cluster.place()
    ann, bob = Visitor(), Visitor()
    with receiving() as vendor, an_origin() as origin:
        dead = POLICY + VENDOR.format(port=vendor.server_address[1])
    with (
        an_origin() as origin,
        serving(tmp_path, dead, origin.url, "--store", url) as one,
        serving(tmp_path, dead, origin.url, "--store", url) as two,
    ):
        for visitor in (ann, ann, bob):
            assert visitor.ask("GET", one).status_code == 200
        until = time.monotonic() + 10
        while waiting(url) < 3 and time.monotonic() < until:
            time.sleep(0.05)
        assert waiting(url) == 3
        assert ann.ask("POST", f"{two}/_consent/withdraw", json={}).status_code == 200
        assert waiting(url) == 1
        assert ann.ask("GET", f"{one}/_consent/receipts").status_code == 200


def test_a_site_that_starts_before_its_database_is_up_reports_once_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consent_mw.asgi.gate.OPENED_AGAIN_AFTER", 0.1)
    with receiving() as vendor, a_cluster() as cluster:
        url = cluster.place()
        cluster.stop()
        (tmp_path / "policy.toml").write_text(POLICY + VENDOR.format(port=vendor.server_address[1]))
        middleware = ConsentMiddleware(Site(), policy=tmp_path / "policy.toml", keys=[KEY], store=url)
        ann = Browser(middleware, NEW_YORK)
        assert (ann.get("/early").status_code, ann.cookies, middleware.gate.failing) == (200, set(), True)
        cluster.start()
        until = time.monotonic() + 15
        while middleware.gate.failing and time.monotonic() < until:
            time.sleep(0.05)
        ann.get("/late")
        events = vendor.wait_for(1, 15)
        ann.close()
    assert [event["data"]["page_path"] for event in events] == ["/late"]


@pytest.mark.parametrize("flags", [("--check",), ()], ids=["check", "serve"])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            (ESCAPED, "wrong-secret"),
            "no connection to the server: it does not let this user in: name or password is wrong",
        ),
        (
            ("/postgres?", "/nowhere?"),
            "no connection to the server: it has no such database: create it, owned by this user",
        ),
        (("", ""), "it was written by a newer version"),
    ],
    ids=["password", "database", "newer"],
)
def test_a_database_that_cannot_be_used_is_told_in_one_sentence(
    cluster: Cluster, tmp_path: Path, flags: tuple[str, ...], change: tuple[str, str], said: str
) -> None:
    there = cluster.place()
    with psycopg.connect(there, autocommit=True) as db:
        db.execute("CREATE TABLE consent_mw (version integer); INSERT INTO consent_mw VALUES (99)")
    url = there.replace(*change) if change[0] else there
    (tmp_path / "policy.toml").write_text(POLICY)
    command = [sys.executable, "-m", "consent_mw.cli", "serve", *flags, "--policy", str(tmp_path / "policy.toml")]
    command += ["--upstream", "http://127.0.0.1:9", "--listen", "127.0.0.1:0", "--store", url]
    ran = subprocess.run(
        command, capture_output=True, text=True, timeout=30, env={**os.environ, "CONSENT_MW_KEYS": KEY}, check=False
    )
    shown = f"postgresql://consent@127.0.0.1:{cluster.port}/{'nowhere' if 'nowhere' in url else 'postgres'}"
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.splitlines() == [f"consent-mw: --store `{shown}` cannot be used: {said}"]
