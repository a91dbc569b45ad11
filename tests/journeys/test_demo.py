"""The demonstration: driven in a process of its own, and visited page by page until it is told to end."""

from __future__ import annotations

import http.client
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from urllib.parse import urlencode, urlsplit

import pytest

from consent_mw.cli.demo_site.drive import Row, Tally, _compare, _take_in
from consent_mw.cli.demo_site.people import PERSONAS, crowd
from consent_mw.cli.demo_site.servers import Receiver, Shop
from consent_mw.cli.demo_site.visits import Asked
from consent_mw.world.geo import Locator
from tests.builders import EEA_UK, a_cookie_rule, a_decision, a_policy

DEMO = [sys.executable, "-m", "consent_mw.cli", "demo"]
ROW = re.compile(r"(\w+) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+) +(.*)")


def test_a_drive_lets_nothing_pass_beyond_the_permit() -> None:
    done = subprocess.run([*DEMO, "--drive", "90"], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    rows = {found[1]: found.groups()[1:] for line in done.stdout.splitlines() if (found := ROW.fullmatch(line))}
    assert set(rows) == {"eea_uk", "elsewhere"}
    assert sum(int(row[0]) for row in rows.values()) == 90
    assert int(rows["eea_uk"][1]) < int(rows["eea_uk"][0])
    assert int(rows["elsewhere"][1]) > 0
    assert int(rows["elsewhere"][4]) > 0
    for row in rows.values():
        assert set(row[5].split(", ")) >= {"event", "time", "page_path", "ip", "country", "name", "email"}


@pytest.mark.parametrize("arguments", [["--drive", "0"], ["--drive", "x"], ["--port", "70000"]])
def test_a_demonstration_that_cannot_be_is_refused(arguments: list[str]) -> None:
    done = subprocess.run([*DEMO, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@contextmanager
def demonstrating() -> Iterator[list[str]]:
    """The demonstration, until it is interrupted; gives the addresses of its pages."""
    process = subprocess.Popen([*DEMO, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        lines = iter(process.stdout.readline, "")
        told = []
        for line in lines:
            told.append(line)
            if "Ctrl-C" in line:
                break
        yield re.findall(r"http://127\.0\.0\.1:\d+", "".join(told))
    finally:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, err) == (0, ""), out


def body_of(url: str, path: str = "/") -> str:
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=10)
    try:
        connection.request("GET", path, headers={"Accept": "text/html", "Sec-Fetch-Dest": "document"})
        answer = connection.getresponse()
        assert answer.status == 200
        return answer.read().decode()
    finally:
        connection.close()


def test_the_pages_show_what_passed_and_end_with_the_command() -> None:
    with demonstrating() as (control, shop, receiver, *_):
        everybody = urlencode([("as", one.key) for one in PERSONAS])
        shown = body_of(control, f"/?{everybody}")
        site = body_of(shop)
        vendor = body_of(receiver)
    for expected in ("Berlin", "eea_uk (opt-in)", "elsewhere (opt-out)", "D;ignored", "N;none", "C;consent"):
        assert expected in shown
    assert "The little shop" in site
    assert "cmw-banner" in site
    assert "What reached the analytics vendor" in vendor
    for url in (control, shop, receiver):
        with pytest.raises(ConnectionRefusedError):
            body_of(url)


def test_every_persona_and_nearly_all_of_the_crowd_are_where_they_say() -> None:
    locator = Locator()
    assert [one.key for one in PERSONAS if not locator.locate(ip_address(one.address))] == []
    unknown = [one.address for one in crowd(400) if not locator.locate(ip_address(one.address))]
    assert len(unknown) < 20


def test_a_cookie_that_passed_without_a_permit_is_found() -> None:
    decision = a_decision(a_policy(cookies=(a_cookie_rule("_ga*"), a_cookie_rule("session", purpose="essential"))))
    shop, tally = Shop(), Tally()
    row = tally.rows["eea_uk"] = Row()
    shop.log("1.1", ("session", "_ga"), ("session", "_ga", "odd"))
    asked = Asked("1.1", "/guides/1/first", False, ("session", "_ga", "odd"), ("session", "odd"), 200)
    _compare(asked, decision, shop, row, tally)
    shop.server_close()
    assert (row.dropped_up, row.dropped_down) == (1, 1)
    assert tally.problems == [
        "cookie _ga reached the site at /guides/1/first, in eea_uk, without a permit",
        "cookie odd reached the browser at /guides/1/first, in eea_uk, without a permit",
    ]


def test_a_field_that_left_without_a_permit_is_found() -> None:
    receiver, tally = Receiver(), Tally()
    tally.rows[EEA_UK.name] = Row()
    tally.permits["/guides/1/first"] = EEA_UK.name, frozenset({"event", "page_path"})
    for number in ("e1", "e1"):  # delivered twice, counted once
        receiver.take({"id": number}, {"event": "page_view", "page_path": "/guides/1/first", "email": "a@b.example"})
    receiver.take({"id": "e2"}, {"event": "page_view", "page_path": "/elsewhere"})
    _take_in(receiver, tally)
    receiver.server_close()
    assert tally.rows[EEA_UK.name].events == 1
    assert tally.problems == [
        "email left eea_uk from /guides/1/first without a permit",
        "an event of `/elsewhere` arrived, where nobody visited",
    ]
