"""All that is stored about a person is shown to that person, and is gone when they say so."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from consent_mw.cli import run
from tests.journeys.site import BERLIN, KEY, LONDON, NEW_YORK, POLICY, VENDOR, Browser, Site, mounted

WAITING = POLICY + VENDOR.replace('kind = "webhook"', 'kind = "webhook"\nkey = "env:NO_SUCH_KEY_IS_SET"').format(
    port=9
)


class Visited:
    """A browser before a site that knows its users, with the store between them."""

    def __init__(self, folder: Path, address: str = NEW_YORK, policy: str = WAITING) -> None:
        self.site = Site()
        self.middleware = mounted(self.site, folder, policy)
        self.browser = Browser(self.middleware, address)
        self.url = f"sqlite:///{folder / 'consent.db'}"
        self.file = folder / "consent.db"

    def signed_in(self, user_id: str, **more: str) -> None:
        """Visit the page as a user of the site's."""
        self.site.on_visit = lambda visit: visit.identify(user_id=user_id, **more)
        self.browser.get("/account")
        self.site.on_visit = None

    def settle(self) -> None:
        """Wait until all that was said so far is on disk."""
        self.middleware.gate.reporter.hand_over()
        assert self.middleware.gate.store is not None
        self.middleware.gate.store.erase(["nobody"]).result(5)

    def data(self) -> Any:
        self.settle()
        return self.browser.get("/_consent/data", document=False).json()

    def rows(self, table: str) -> int:
        self.settle()
        with sqlite3.connect(self.file) as db:
            number = int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
        db.close()
        return number


@pytest.fixture
def visited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Visited]:
    monkeypatch.setenv("CONSENT_MW_KEYS", KEY)
    monkeypatch.delenv("CONSENT_MW_LEDGER_KEY", raising=False)
    made = Visited(tmp_path)
    yield made
    made.browser.close()


def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


# what a browser is shown


def test_a_person_is_shown_cookies_receipts_events_and_who_the_site_said_they_are(visited: Visited) -> None:
    visited.browser.get("/")
    visited.browser.choose(all=True)
    visited.signed_in("u1", name="Ann", email="ann@example.com")
    shown = visited.data()
    vid = shown["identifier"]
    assert list(shown) == ["identifier", "identifier_issued", "consent", "user_ids", "queued", "receipts"]
    assert shown["identifier_issued"] == time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime())
    assert (shown["consent"]["purposes"], shown["consent"]["receipt"]) == (
        {"analytics": True, "cross_site": True},
        shown["receipts"][0]["receipt"],
    )
    assert [one["user_id"] for one in shown["user_ids"]] == ["u1"]
    who = {"user_id": "u1", "name": "Ann", "email": "ann@example.com"}
    common = {"visitor_id": vid, "ip": NEW_YORK, "country": "US"}
    assert [{**one["fields"], "time": 0} for one in shown["queued"]] == [
        {"event": "page_view", "time": 0, "page_path": "/", **common},
        {"event": "identify", "time": 0, "page_path": "/account", **common, **who},
        {"event": "page_view", "time": 0, "page_path": "/account", **common, **who},
    ]
    assert {(one["vendor"], one["purpose"], one["attempts"]) for one in shown["queued"]} == {
        ("insights", "analytics", 0)
    }


def test_the_record_can_be_kept_as_a_file(visited: Visited) -> None:
    visited.browser.get("/")
    visited.settle()
    answer = visited.browser.get("/_consent/data?format=json", accept="text/html")
    assert answer.headers["content-disposition"] == 'attachment; filename="data.json"'
    assert (answer.headers["content-type"], answer.headers["cache-control"]) == ("application/json", "no-store")
    assert answer.json() == visited.data()
    page = visited.browser.get("/_consent/data", accept="text/html")
    assert {answer.json()["queued"][0]["event_id"], NEW_YORK} - set(re.findall(r">([^<]+)<", page.text)) == set()
    assert "content-disposition" not in page.headers


def test_one_browser_is_never_shown_what_is_of_another(visited: Visited) -> None:
    visited.browser.get("/")
    visited.signed_in("u1")
    other = Browser(visited.middleware, LONDON)
    other.choose(all=True)
    other.get("/theirs")
    visited.settle()
    shown = [json.dumps(one) for one in (visited.data(), other.get("/_consent/data", document=False).json())]
    assert ["/theirs" in one for one in shown] == [False, True]
    assert ["/account" in one for one in shown] == [True, False]
    other.leave()


def test_erasing_takes_all_of_it(visited: Visited) -> None:
    visited.browser.get("/")
    visited.browser.choose(all=True)
    visited.signed_in("u1")
    visited.settle()
    assert [visited.rows(one) for one in ("outbox", "receipts", "pairs")] == [3, 1, 1]
    answer = visited.browser.post("/_consent/erase", json={})
    assert answer.json() == {"erased": 5}
    assert [visited.rows(one) for one in ("outbox", "receipts", "pairs")] == [0, 0, 0]
    shown = visited.data()
    assert (shown["identifier"], shown["receipts"], shown["queued"], shown["user_ids"]) == (None, [], [], [])


# the pair


def test_the_same_pair_again_writes_nothing(visited: Visited) -> None:
    visited.browser.get("/")
    visited.signed_in("u1")
    visited.settle()
    with sqlite3.connect(visited.file) as db:
        before = db.execute("SELECT * FROM pairs").fetchall()
    visited.middleware.gate.reporter._paired.clear()
    for _ in range(3):
        visited.signed_in("u1")
    visited.settle()
    assert [db.execute("SELECT * FROM pairs").fetchall()] == [before]
    db.close()
    assert visited.rows("pairs") == 1
    visited.signed_in("u2")
    assert visited.rows("pairs") == 2


def test_neither_a_name_nor_an_email_is_kept_beside_the_queue(visited: Visited) -> None:
    visited.browser.get("/")
    visited.signed_in("u1", name="Annabel", email="ann@example.com")
    visited.settle()
    with sqlite3.connect(visited.file) as db:
        pairs = db.execute("SELECT user_id, receipt FROM pairs").fetchall()
        db.execute("DELETE FROM outbox")
    assert pairs == [("u1", "")]
    dump = "\n".join(db.iterdump())
    db.close()
    assert ("Annabel" in dump, "ann@example.com" in dump) == (False, False)


def test_no_pair_is_kept_of_who_may_not_be_recognised(visited: Visited) -> None:
    visited.browser.get("/")
    visited.browser.choose(purposes={"analytics": False})
    visited.signed_in("u1")
    assert visited.rows("pairs") == 0
    berliner = Browser(visited.middleware, BERLIN)
    visited.site.on_visit = lambda visit: visit.identify(user_id="u2")
    berliner.get("/")
    assert visited.rows("pairs") == 0
    visited.site.on_visit = lambda visit: (visit.identify(user_id="u3"), visit.declare_minor())
    visited.browser.choose(all=True)
    visited.browser.get("/")
    assert visited.rows("pairs") == 0
    berliner.leave()


def test_a_no_that_comes_meanwhile_forbids_the_pair_and_the_events(visited: Visited) -> None:
    visited.browser.get("/")
    other = Browser(visited.middleware, NEW_YORK)
    for cookie in visited.browser._client.cookies.jar:
        other.hold(cookie.name, cookie.value or "")

    def slowly(visit: Any) -> None:
        visit.identify(user_id="u1")
        other.post("/_consent/withdraw", json={})

    visited.site.on_visit = slowly
    visited.browser.get("/slow")
    visited.site.on_visit = None
    assert [visited.rows(one) for one in ("outbox", "pairs")] == [0, 0]
    other.leave()


# the operator


def test_an_operator_exports_by_each_kind_of_id(visited: Visited, capsys: pytest.CaptureFixture[str]) -> None:
    visited.browser.get("/")
    visited.browser.choose(all=True)
    visited.signed_in("u1")
    shown = visited.data()
    ids = [shown["identifier"], shown["receipts"][0]["receipt"], "u1"]
    ids += [cookie.value for cookie in visited.browser._client.cookies.jar]
    told = []
    for identity in ids:
        assert run(["subject", "export", identity, "--store", visited.url, "--format", "json"]) == 0
        found = printed(capsys)
        assert found.pop("subject") == identity
        assert found.pop("ledger") is not None
        told.append(found)
    expected = {name: shown[name] for name in ("user_ids", "receipts", "queued")}
    assert told == [expected] * len(ids)


def test_a_user_id_leads_to_every_browser_and_a_browser_to_none_but_itself(
    visited: Visited, capsys: pytest.CaptureFixture[str]
) -> None:
    visited.browser.get("/")
    phone = Browser(visited.middleware, LONDON)
    phone.choose(all=True)
    phone.get("/")
    visited.site.on_visit = lambda visit: visit.identify(user_id="u1")
    phone.get("/phone")
    visited.browser.get("/desk")
    visited.site.on_visit = None
    desk = visited.data()["identifier"]
    found = []
    for identity in ("u1", desk):
        assert run(["subject", "export", identity, "--store", visited.url, "--format", "json"]) == 0
        found.append({one["fields"]["page_path"] for one in printed(capsys)["queued"]})
    assert found == [{"/", "/phone", "/desk"}, {"/", "/desk"}]
    assert run(["subject", "erase", "u1", "--store", visited.url, "--format", "json"]) == 0
    assert printed(capsys)["erased"] == 9
    assert [visited.rows(one) for one in ("outbox", "receipts", "pairs")] == [0, 0, 0]
    phone.leave()


def test_what_was_erased_beside_a_running_gate_does_not_come_back(
    visited: Visited, capsys: pytest.CaptureFixture[str]
) -> None:
    visited.browser.get("/")
    visited.settle()
    erased: list[int] = []

    def erase_it(visit: Any) -> None:
        asked = ["subject", "erase", visit.visitor, "--store", visited.url]
        with ThreadPoolExecutor(1) as beside:
            erased.append(beside.submit(run, asked).result(20))

    visited.site.on_visit = erase_it
    visited.browser.get("/meanwhile")
    assert (erased, capsys.readouterr().out) == ([0], "erased 1 thing\n")
    assert visited.rows("outbox") == 0


def test_an_operator_is_told_where_there_is_nothing_or_no_store_or_no_key(
    visited: Visited, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    visited.browser.get("/")
    visited.settle()
    assert run(["subject", "export", "nobody", "--store", visited.url]) == 1
    assert run(["subject", "erase", "nobody", "--store", visited.url]) == 1
    assert capsys.readouterr().out == "nothing is stored about this ID\n" * 2
    assert run(["subject", "export", "nobody", "--store", f"sqlite:///{tmp_path / 'none.db'}"]) == 2
    assert capsys.readouterr().err == (
        f"consent-mw: the store `{tmp_path / 'none.db'}` cannot be read: there is no such file\n"
    )
    monkeypatch.delenv("CONSENT_MW_KEYS")
    assert run(["subject", "export", "nobody", "--store", visited.url]) == 2
    assert "set CONSENT_MW_KEYS or --keys-file" in capsys.readouterr().err


def test_an_export_for_people_has_a_line_for_each_thing(visited: Visited, capsys: pytest.CaptureFixture[str]) -> None:
    visited.browser.get("/")
    visited.browser.choose(all=True)
    visited.signed_in("u1")
    visited.settle()
    assert run(["subject", "export", "u1", "--store", visited.url]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines if not line.startswith("ledger")] == [
        "user id",
        "receipt",
        *["queued event"] * 3,
    ]
