"""What fails behind the sidecar, really caused: the page is served, nothing non-essential is set, nothing leaves."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from consent_mw.world.geo import BUILTIN_PATH
from tests.journeys.site import BERLIN, LONDON, POLICY
from tests.sidecar.raw import CLOSE, Origin, ask, connect, counted, read_all
from tests.sidecar.shop import ALLOWED, ANSWER, SECONDS, Shop, Visit, a_shop, until


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with a_shop(tmp_path_factory.mktemp("shop")) as made:
        yield made


@pytest.fixture
def shop(running: Shop) -> Shop:
    """A shop in which nothing is broken for good, and whose vendor has forgotten what it was sent."""
    running.vendor.events.clear()
    return running


# what is read


def test_a_database_of_places_that_is_truncated_in_place(tmp_path: Path) -> None:
    places = tmp_path / "places.mmdb"
    shutil.copy(BUILTIN_PATH, places)
    policy = POLICY + f'[geo]\ndatabases = ["{places}"]\n'
    with a_shop(tmp_path, policy=policy) as shop:
        assert shop.visit() == Visit(200, ALLOWED, True)
        os.truncate(places, 0)
        assert shop.visit(BERLIN) == Visit(200, ["session"], True)
        assert shop.visit("74.125.224.73") == Visit(200, ALLOWED, True)
        reload = ask(shop.admin, b"POST /reload HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        assert reload.startswith(b"HTTP/1.1 409 ")
        assert shop.visit(LONDON) == Visit(200, ["session"], True)
        assert shop.visit("74.125.224.74") == Visit(200, ALLOWED, True)
        assert shop.ready()["databases"] is True


def test_a_policy_file_that_is_gone_at_a_reload(tmp_path: Path) -> None:
    with a_shop(tmp_path) as shop:
        (tmp_path / "policy.toml").unlink()
        reload = ask(shop.admin, b"POST /reload HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        assert reload.startswith(b"HTTP/1.1 409 ")
        assert shop.visit(BERLIN) == Visit(200, ["session"], True)
        assert shop.visit() == Visit(200, ALLOWED, True)


# the site


FALSE = {
    "nothing": b"",
    "garbage": b"\x16\x03\x01 what\r\n\r\n",
    "a length and chunks": ANSWER.replace(b"Content-Length", b"Transfer-Encoding: chunked\r\nContent-Length"),
}


@pytest.mark.parametrize("raw", FALSE.values(), ids=FALSE)
def test_a_site_that_does_not_answer_sets_nothing_and_is_no_visit(shop: Shop, raw: bytes) -> None:
    failed = counted(shop.admin, "consent_mw_upstream_failures_total")
    shop.origin.say(raw, close=True)
    assert shop.visit(path="/before") == Visit(502, [], False)
    assert counted(shop.admin, "consent_mw_upstream_failures_total") == failed + 1
    shop.origin.say(ANSWER)
    assert shop.visit(path="/after") == Visit(200, ALLOWED, True)
    assert [event["data"]["page_path"] for event in shop.vendor.wait_for(1)] == ["/after"]


def test_a_site_that_is_slow_holds_no_other_visitor(shop: Shop) -> None:
    go = threading.Event()

    def answer(peer: socket.socket, head: bytes) -> None:
        if b" /slow " in head:
            assert go.wait(SECONDS)
        peer.sendall(ANSWER)

    shop.origin.answer = answer
    with connect(shop.port) as slow:
        slow.sendall(b"GET /slow HTTP/1.1\r\n" + CLOSE + b"\r\n")
        assert [shop.visit() for _ in range(5)] == [Visit(200, ALLOWED, True)] * 5
        go.set()
        assert b"<p>whole</p>" in read_all(slow)


# the vendor


def test_a_vendor_that_is_not_there(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        dead = unused.getsockname()[1]
    with a_shop(tmp_path, vendor_port=dead) as shop:
        assert [shop.visit() for _ in range(5)] == [Visit(200, ALLOWED, True)] * 5
        assert shop.ready()["store"] is True
        assert shop.lost() == 0


def test_a_vendor_that_never_answers_delays_no_page(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(SECONDS)
        with a_shop(tmp_path, vendor_port=silent.getsockname()[1]) as shop:
            assert shop.visit() == Visit(200, ALLOWED, True)
            peer, _ = silent.accept()  # it has been asked, and keeps silent
            with peer:
                assert [shop.visit() for _ in range(5)] == [Visit(200, ALLOWED, True)] * 5


@pytest.mark.parametrize("status", [302, 307])
def test_a_vendor_that_sends_elsewhere_is_not_followed(tmp_path: Path, status: int) -> None:
    vendor = Origin()
    with a_shop(tmp_path, vendor_port=vendor.port) as shop:
        there = f"http://127.0.0.1:{shop.vendor.server_address[1]}/in".encode()
        vendor.say(b"HTTP/1.1 %d Elsewhere\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % (status, there))
        assert shop.visit() == Visit(200, ALLOWED, True)
        assert until(lambda: len(vendor.requests) == 1)
        assert [shop.visit() for _ in range(3)] == [Visit(200, ALLOWED, True)] * 3
        assert until(lambda: shop.events("rejected", "insights") > 0)
        assert shop.vendor.events == []
    vendor.close()
