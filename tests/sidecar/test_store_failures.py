"""A store that fails while the sidecar runs, really caused: the site stays up and nothing non-essential is set."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import re
import resource
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from consent_mw.wire.ledger import Book
from consent_mw.wire.token import Keyring
from tests.journeys.site import FIREFOX, NEW_YORK, POLICY, listening
from tests.sidecar.raw import CLOSE, KEY, ask, connect, read_all
from tests.sidecar.shop import ALLOWED, Shop, Visit, a_shop, until
from tests.world.ledgers import findings


@contextlib.contextmanager
def again_and_again(harm: Callable[[], None]) -> Iterator[None]:
    """Do harm until the block ends: what works on in its memory would undo it once."""
    done = threading.Event()

    def repeat() -> None:
        while not done.wait(0.002):
            with contextlib.suppress(OSError):
                harm()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextlib.contextmanager
def filled(folder: Path, shop: Shop) -> Iterator[None]:
    """No byte more fits where the store is, and what it gives back is taken at once."""
    ballast = folder / "ballast"

    def fill() -> None:
        with ballast.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    with again_and_again(fill):
        assert until(lambda: os.statvfs(folder).f_bavail == 0)
        yield
    ballast.unlink()


@contextlib.contextmanager
def forbidden(folder: Path, shop: Shop) -> Iterator[None]:
    """The process may write to no file any more."""
    resource.prlimit(shop.process, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    yield
    resource.prlimit(shop.process, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@contextlib.contextmanager
def removed(folder: Path, shop: Shop) -> Iterator[None]:
    """The folder of the store is gone."""
    shutil.rmtree(folder)
    yield


@contextlib.contextmanager
def replaced(folder: Path, shop: Shop) -> Iterator[None]:
    """Another file stands where the store was."""
    other = folder / "other"
    other.write_bytes(b"not a database")
    other.replace(folder / "c.db")
    yield


@contextlib.contextmanager
def spoilt(folder: Path, shop: Shop) -> Iterator[None]:
    """The store's bytes are overwritten in place."""

    def overwrite() -> None:
        for file in folder.glob("c.db*"):
            with file.open("r+b") as opened:
                opened.write(os.urandom(file.stat().st_size))

    with again_and_again(overwrite):
        yield


@contextlib.contextmanager
def truncated(folder: Path, shop: Shop) -> Iterator[None]:
    """Another program emptied the file that the store is in."""
    os.truncate(folder / "c.db", 0)
    yield


@contextlib.contextmanager
def overwritten(folder: Path, shop: Shop) -> Iterator[None]:
    """Another program wrote another database into the file that the store is in."""
    with contextlib.closing(sqlite3.connect(folder / "other.db")) as other:
        other.executescript("CREATE TABLE t (x); INSERT INTO t VALUES (zeroblob(300000));")
    (folder / "c.db").write_bytes((folder / "other.db").read_bytes())
    yield


HOLD = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=10)
db.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def held(folder: Path, shop: Shop) -> Iterator[None]:
    """Another process holds the store's lock, and does not let go of it."""
    command = [sys.executable, "-c", HOLD, str(folder / "c.db")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        yield


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of two megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True)
    if done.returncode:
        pytest.skip("a file system can only be mounted by root")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


Breaking = Callable[[Path, Shop], contextlib.AbstractContextManager[None]]


def assert_the_ledger_is_whole(file: Path) -> None:
    """Beside the sidecar that writes it: of what the disk did not take nothing is told, and the chain goes on."""
    assert findings(file, book=Book.of(Keyring([KEY]))) == []


def assert_the_site_stays_up(folder: Path, where: Path, breaking: Breaking, *, recovers: bool) -> None:
    with a_shop(folder, store=f"sqlite:///{where / 'c.db'}") as shop:
        assert shop.visit() == Visit(200, ALLOWED, True)
        assert len(shop.vendor.wait_for(1)) == 1
        with breaking(where, shop):
            # Nobody can know before something is written that it cannot be.
            assert until(lambda: shop.visit().whole and not shop.ready()["store"], 2.0)
            left, lost = len(shop.vendor.events), shop.lost()
            pages = [shop.visit() for _ in range(3)]
            assert [(page.status, page.whole, "__Host-vid" in page.cookies) for page in pages] == [
                (200, True, False)
            ] * 3
            assert shop.choose(True).startswith(b"HTTP/1.1 503 ")
            assert b"set-cookie: __Host-consent=" in shop.choose(False)
            assert until(lambda: shop.lost() >= lost + 3)
            assert ask(shop.admin, b"GET /ready HTTP/1.1\r\nHost: a\r\n\r\n").startswith(b"HTTP/1.1 200 ")
            assert len(shop.vendor.events) == left
        if recovers:
            assert until(lambda: bool(shop.ready()["store"]))
            assert shop.visit() == Visit(200, ALLOWED, True)
            assert until(lambda: len(shop.vendor.events) > left)
            ids = [one["id"] for one in shop.vendor.events]
            assert len(ids) == len(set(ids))
            assert_the_ledger_is_whole(where / "c.db")


def test_a_full_disk(tmp_path: Path, small: Path) -> None:
    assert_the_site_stays_up(tmp_path, small, filled, recovers=True)


class Holding(http.server.ThreadingHTTPServer):
    """A vendor that answers only while it may, and cannot tell an event that came before."""

    daemon_threads = True

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.may = threading.Event()
        self.may.set()
        super().__init__(("127.0.0.1", 0), _Held)


class _Held(http.server.BaseHTTPRequestHandler):
    server: Holding

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.paths.append(sent["url"].removeprefix("https://example.com"))
        self.server.may.wait(10)
        self.send_response(202)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


ONCE = """
[vendor.once]
kind = "plausible"
purpose = "analytics"
domain = "example.com"
endpoint = "http://127.0.0.1:{port}/api/event"
fields = ["event", "user_agent", "ip_truncated", "page_path"]
"""

SHORT_LEASE = {"consent_mw.world.delivery.turn": {"LEASE": 6.0, "LONGEST_TRY": 5.0}}


def test_a_full_disk_repeats_nothing_and_forgets_no_withdrawal(tmp_path: Path, small: Path) -> None:
    with listening(Holding()) as once:
        how = {"policy": POLICY + ONCE.format(port=once.server_address[1]), "store": f"sqlite:///{small / 'c.db'}"}
        with a_shop(tmp_path, constants=SHORT_LEASE, **how) as shop:
            assert shop.visit(path="/before").whole
            assert until(lambda: shop.events("accepted", "once") == 1)
            once.may.clear()
            cookie = identified(shop, "/held")
            assert until(lambda: once.paths == ["/before", "/held"])
            assert identified(shop, "/waits", cookie) == ""
            # The other vendor has it, so that it is queued for this one, behind what is not answered.
            assert until(lambda: [one["data"]["page_path"] for one in shop.vendor.events].count("/waits") == 1)
            with filled(small, shop):
                assert until(lambda: shop.visit().whole and not shop.ready()["store"], 2.0)
                answer = withdraw(shop, cookie)
                assert answer.startswith(b"HTTP/1.1 200 ")
                assert b"set-cookie: __Host-consent=" in answer
                once.may.set()
                assert shop.choose(True).startswith(b"HTTP/1.1 503 ")
                assert [shop.visit().cookies for _ in range(3)] == [["session"]] * 3
            assert until(lambda: bool(shop.ready()["store"]))
            assert shop.visit(path="/after") == Visit(200, ALLOWED, True)
            assert until(lambda: "/after" in once.paths)
            # What was sent and could not be noted is noted by now: no lease that ends brings it again.
            assert not until(lambda: once.paths.count("/held") > 1, 4.0)
            assert [path for path in once.paths if path != "/"] == ["/before", "/held", "/after"]
            assert shop.events("unknown", "once") == 0
            assert shop.choose(True).startswith(b"HTTP/1.1 200 ")


def identified(shop: Shop, path: str, cookie: str = "") -> str:
    """Visit as the browser that holds this cookie; the identifier that it is given, if it is."""
    fields = f"X-Forwarded-For: {NEW_YORK}\r\nUser-Agent: {FIREFOX}\r\nSec-Fetch-Dest: document\r\n{cookie}"
    got = ask(shop.port, f"GET {path} HTTP/1.1\r\n{fields}".encode() + CLOSE + b"\r\n").decode()
    given = re.search(r"^set-cookie: (__Host-vid=[^;]+)", got, re.IGNORECASE | re.MULTILINE)
    return f"Cookie: {given[1]}\r\n" if given else ""


def withdraw(shop: Shop, cookie: str) -> bytes:
    """The answer to a withdrawal by the browser that holds this cookie."""
    fields = f"X-Forwarded-For: {NEW_YORK}\r\nSec-Fetch-Site: same-origin\r\n{cookie}".encode()
    return ask(shop.port, b"POST /_consent/withdraw HTTP/1.1\r\n" + fields + CLOSE + b"Content-Length: 0\r\n\r\n")


BREAKING = [
    pytest.param(forbidden, True, id="no more writing"),
    pytest.param(removed, False, id="removed"),
    pytest.param(replaced, False, id="replaced"),
    pytest.param(spoilt, False, id="overwritten, and its log"),
    pytest.param(truncated, False, id="truncated in place"),
    pytest.param(overwritten, False, id="overwritten in place"),
    pytest.param(held, True, id="locked by another process"),
]


@pytest.mark.parametrize(("breaking", "recovers"), BREAKING)
def test_a_store_that_is_lost(tmp_path: Path, breaking: Breaking, recovers: bool) -> None:
    where = tmp_path / "store"
    where.mkdir()
    assert_the_site_stays_up(tmp_path, where, breaking, recovers=recovers)


def test_events_are_refused_while_another_process_holds_the_store(tmp_path: Path) -> None:
    with a_shop(tmp_path) as shop:
        assert told(shop).startswith(b"HTTP/1.1 202 ")
        with held(tmp_path, shop):
            assert [told(shop)[:13] for _ in range(3)] == [b"HTTP/1.1 503 "] * 3
        assert until(lambda: told(shop).startswith(b"HTTP/1.1 202 "))
        assert until(lambda: len(shop.vendor.events) == 2)


def told(shop: Shop) -> bytes:
    """The answer to an event from a page, waited for no longer than a person would."""
    fields = f"X-Forwarded-For: {NEW_YORK}\r\nContent-Type: application/json\r\nSec-Fetch-Site: same-origin\r\n"
    head = b"POST /_consent/events HTTP/1.1\r\n" + fields.encode() + CLOSE + b"Content-Length: 18\r\n\r\n"
    with connect(shop.port) as peer:
        peer.settimeout(4.0)
        peer.sendall(head + b'{"event":"signup"}')
        return read_all(peer)


def test_a_store_that_cannot_be_written_is_not_thought_well_of_meanwhile(tmp_path: Path) -> None:
    with a_shop(tmp_path) as shop, forbidden(tmp_path, shop):
        assert until(lambda: shop.visit().whole and not shop.ready()["store"])
        assert not until(lambda: bool(shop.ready()["store"]), 2.0)  # the outbox is looked through within a second


def test_without_a_store_the_site_sets_nothing_non_essential_either(tmp_path: Path) -> None:
    with a_shop(tmp_path) as shop, forbidden(tmp_path, shop):
        assert until(lambda: shop.visit().whole and not shop.ready()["store"])
        assert shop.visit() == Visit(200, ["session"], True)
