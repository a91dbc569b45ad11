"""The demonstration: driven in a process of its own, and visited page by page until it is told to end."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from consent_mw.cli.demo_site.drive import Row, table, tally
from consent_mw.cli.demo_site.people import PERSONAS, crowd
from consent_mw.cli.demo_site.process import demo_policy
from consent_mw.cli.demo_site.receiver import Arrived, Receiver
from consent_mw.cli.demo_site.shop import Reached
from consent_mw.cli.demo_site.visits import Step, Visit
from consent_mw.world.geo import Locator
from consent_mw.world.policy_file import parse_policy, read_profile
from tests.builders import a_cookie_rule, a_policy

DEMO = [sys.executable, "-m", "consent_mw.cli", "demo"]
ROW = re.compile(r"(\w+) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+) +(.*)")


def test_a_drive_lets_nothing_pass_beyond_the_permit() -> None:
    done = subprocess.run([*DEMO, "--drive", "90"], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, complaints(done.stderr)) == (0, [])
    rows = {found[1]: found.groups()[1:] for line in done.stdout.splitlines() if (found := ROW.fullmatch(line))}
    assert set(rows) == {"eea_uk", "elsewhere"}
    assert sum(int(row[0]) for row in rows.values()) == 90
    assert int(rows["eea_uk"][1]) < int(rows["eea_uk"][0]) / 2
    assert int(rows["elsewhere"][1]) > int(rows["elsewhere"][0]) / 2
    assert all(int(figure) > 0 for row in rows.values() for figure in row[:5])
    for field in ("event", "time", "page_path", "ip", "country", "name", "email"):
        assert len(re.findall(rf"\b{field} \d", done.stdout)) == 2


@pytest.mark.parametrize("arguments", [["--drive", "0"], ["--drive", "x"], ["--port", "70000"]])
def test_a_demonstration_that_cannot_be_is_refused(arguments: list[str]) -> None:
    done = subprocess.run([*DEMO, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@contextmanager
def demonstrating(port: int, ends_on: signal.Signals) -> Iterator[list[str]]:
    """The demonstration, until it is told to end; gives the addresses of its pages."""
    process = subprocess.Popen(
        [*DEMO, "--port", str(port)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    told = ""
    try:
        while "Ctrl-C" not in told:
            line = process.stdout.readline()
            assert line, "the demonstration did not start"
            told += line
        yield re.findall(r"http://127\.0\.0\.1:\d+", told)
    finally:
        process.send_signal(ends_on)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, complaints(err)) == (0, []), out


def complaints(errors: str) -> list[str]:
    """What was said on stderr beside the ledger's head, which a sidecar tells its log at its start and end."""
    return [line for line in errors.splitlines() if not line.startswith("consent-mw: ledger head ")]


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


def left_on_disk() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("consent-mw-demo-*"))


def test_its_pages_show_what_passed_and_why() -> None:
    everybody = [("as", one.key) for one in PERSONAS]
    with demonstrating(0, signal.SIGINT) as (control, shop, receiver):
        silent = body_of(control, f"/?{urlencode(everybody)}")
        agreed = body_of(control, f"/?{urlencode([*everybody, ('says', 'accept'), ('signs_in', 'on')])}")
        hostile = body_of(control, "/?as=nobody&says=%3Cscript%3E&signs_in=%00&as=%22")
        site = body_of(shop)
        published = body_of(shop, "/_consent/policy")
        vendor = body_of(receiver)
        live = json.loads(body_of(receiver, "/live"))
    for expected in ("Berlin", "DE: eea_uk", "IS: eea_uk", "US: elsewhere", "Tk: D;ignored", "Tk: N;none"):
        assert expected in silent
    assert "dropped: analytics is denied" in silent
    assert "dropped: no rule names it" in silent
    assert "denied: the browser&#x27;s GPC signal refuses it here" in silent
    assert "email: ann@example.com" not in silent
    for expected in ("Page after the yes", "Tk: C;consent", "set by consent_mw itself", "email: ann@example.com"):
        assert expected in agreed
    assert "<script>" not in hostile
    assert "cmw-banner" in site
    assert "Tested by these cases:" in published
    assert "What reached the analytics vendor" in vendor
    assert live["total"] >= len(live["events"]) > 0


def test_it_ends_without_a_trace() -> None:
    before = left_on_disk()
    with demonstrating(0, signal.SIGTERM) as pages:
        assert len(left_on_disk() - before) >= 1
    for url in pages:
        with pytest.raises(ConnectionRefusedError):
            body_of(url)
    assert left_on_disk() <= before


def test_a_port_that_is_taken_is_replaced_by_a_free_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with demonstrating(port, signal.SIGINT) as (control, *_):
            assert urlsplit(control).port != port
            assert "many visitors" in body_of(control)


def test_every_persona_is_where_they_say_and_the_crowd_is_from_everywhere() -> None:
    locator = Locator()
    found = {one.key: locator.locate(ip_address(one.address))[0].country for one in PERSONAS}
    assert found == {
        "berlin": "DE",
        "london": "GB",
        "reykjavik": "IS",
        "california": "US",
        "dnt": "US",
        "sao-paulo": "BR",
        "crawler": "US",
    }
    people = list(crowd(2000))
    countries = {locator.locate(ip_address(one.address))[0].country for one in people}
    assert len({one.address for one in people}) == 2000
    assert len(countries) >= 25


def test_the_demonstration_keeps_the_fields_of_the_published_policy() -> None:
    published = parse_policy(read_profile("mixmax-2018"), "a.toml", base=None).policy
    demonstrated = parse_policy(demo_policy("http://127.0.0.1:1"), "b.toml", base=None).policy
    assert published is not None
    assert demonstrated is not None
    vendor = demonstrated.vendors[0]
    assert (vendor.kind.value, vendor.endpoint, vendor.key) == ("webhook", "http://127.0.0.1:1/in", "")
    assert (vendor.fields, vendor.fields_in) == (published.vendors[0].fields, published.vendors[0].fields_in)
    assert demonstrated.client_address.trusted == ("127.0.0.0/8",)


def a_step(path: str = "/letters/1", **more: Any) -> Step:
    """A page for a Berliner who may not be measured."""
    made: dict[str, Any] = {
        "label": "First page",
        "path": path,
        "status": 200,
        "tk": "N;none",
        "banner": True,
        "sent": ("session", "_ga", "odd"),
        "set": ("session",),
        "gone": (),
        "reached": Reached(("session",), ("session", "_ga", "odd")),
        "state": {
            "jurisdiction": "eea_uk",
            "country": "DE",
            "purposes": {"essential": {"allowed": True}, "analytics": {"allowed": False}},
            "vendors": {"segment": []},
        },
    }
    return Step(**{**made, **more})


POLICY = a_policy(cookies=(a_cookie_rule("_ga*"), a_cookie_rule("session", purpose="essential")))


def tallied(*steps: Step, arrived: tuple[Arrived, ...] = ()) -> tuple[dict[str, Row], list[str]]:
    return tally([Visit(PERSONAS[0], list(steps))], arrived, POLICY)


def test_cookies_are_counted_at_both_sockets() -> None:
    rows, problems = tallied(a_step(), a_step("/letters/1/2", set=("session", "__Host-vid")))
    assert (rows, problems) == ({"eea_uk": Row(visits=1, identifiers=1, to_site=4, to_browser=4)}, [])


def test_a_cookie_that_passed_without_a_permit_is_found() -> None:
    _, problems = tallied(a_step(set=("session", "odd"), reached=Reached(("session", "_ga"), ("session", "odd"))))
    assert problems == [
        "cookie `_ga` passed 1 times without a permit",
        "cookie `odd` passed 1 times without a permit",
    ]


def test_a_field_that_left_without_a_permit_is_found() -> None:
    allowed = {**a_step().state, "vendors": {"segment": ["event", "page_path"]}}
    events = (
        Arrived("page_view", "/letters/1", frozenset({"event", "page_path", "email"})),
        Arrived("page_view", "/letters/1/2", frozenset({"event"})),
        Arrived("page_view", "/elsewhere", frozenset({"event"})),
    )
    rows, problems = tallied(a_step(state=allowed), a_step("/letters/1/2"), arrived=events)
    assert rows["eea_uk"].events == 2
    assert problems == [
        "1 events arrived that no visit made",
        "in eea_uk the field `email` arrived 1 times without a permit",
        "in eea_uk the field `event` arrived 1 times without a permit",
    ]


@pytest.mark.parametrize("broken", [{"status": 502}, {"reached": None}])
def test_a_visit_without_its_page_is_found(broken: dict[str, Any]) -> None:
    assert tallied(a_step(**broken))[1] == ["1 visits did not get their page"]


def test_an_event_delivered_twice_counts_once_and_garbage_never() -> None:
    receiver = Receiver()
    event = {"id": "e1", "data": {"event": "page_view", "page_path": "/", "ip": "192.0.2.1"}}
    taken = [receiver.take(one) for one in (event, event, None, [], {}, {"id": "e2", "data": 1})]
    receiver.server_close()
    assert taken == [True, True, False, False, False, False]
    assert receiver.arrived() == [Arrived("page_view", "/", frozenset({"event", "page_path", "ip"}))]


def test_the_table_wraps_the_fields_that_left() -> None:
    row = Row(visits=2, identifiers=1, to_site=3, to_browser=4, events=5)
    row.left.update({f"field_{number}": 5 for number in range(9)})
    lines = table({"eea_uk": row, "elsewhere": Row()}).splitlines()
    assert len(lines) == 5
    assert lines[-1].split() == ["elsewhere", "0", "0", "0", "0", "0", "none"]
    assert max(len(line) for line in lines) < 140
