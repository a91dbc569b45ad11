"""A site behind a sidecar that reports to a vendor, all of them running, and a visitor of it."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.journeys.site import FIREFOX, NEW_YORK, POLICY, VENDOR, Receiver, receiving
from tests.sidecar.raw import CLOSE, Origin, a_sidecar, ask, counted

PAGE = b"<!doctype html><html><head><title>Shop</title></head><body><p>whole</p></body></html>"
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nSet-Cookie: session=s; Path=/\r\nSet-Cookie: _ga=g; Path=/\r\n"
    b"Content-Length: %d\r\n\r\n" % len(PAGE) + PAGE
)
ALLOWED = ["__Host-vid", "_ga", "session"]
SECONDS = 6.0
"""How long anything here is waited for."""


@dataclass(frozen=True)
class Visit:
    """A page as a browser got it."""

    status: int
    cookies: list[str]
    whole: bool


@dataclass(frozen=True)
class Shop:
    """A site behind a sidecar that reports to a vendor, all of them running."""

    folder: Path
    process: int
    port: int
    admin: int
    origin: Origin
    vendor: Receiver

    def visit(self, address: str = NEW_YORK, path: str = "/") -> Visit:
        """A page, asked for as a document from there."""
        fields = f"X-Forwarded-For: {address}\r\nUser-Agent: {FIREFOX}\r\nSec-Fetch-Dest: document\r\n".encode()
        got = ask(self.port, b"GET " + path.encode() + b" HTTP/1.1\r\n" + fields + CLOSE + b"\r\n")
        head, _, body = got.partition(b"\r\n\r\n")
        names = re.findall(rb"^set-cookie: ([^=]+)=", head, re.IGNORECASE | re.MULTILINE)
        whole = b"<p>whole</p>" in body and body.endswith((b"</html>", b"0\r\n\r\n"))
        return Visit(int(head.split(b" ")[1]), sorted(name.decode() for name in names), whole)

    def choose(self, all_: bool) -> bytes:
        """The answer to a choice."""
        body = json.dumps({"all": all_}).encode()
        fields = b"Content-Type: application/json\r\nSec-Fetch-Site: same-origin\r\n"
        head = b"POST /_consent/choice HTTP/1.1\r\n" + fields + CLOSE + b"Content-Length: %d\r\n\r\n" % len(body)
        return ask(self.port, head + body)

    def ready(self) -> dict[str, object]:
        """What /ready says."""
        body = ask(self.admin, b"GET /ready HTTP/1.1\r\nHost: a\r\n\r\n").partition(b"\r\n\r\n")[2]
        said: dict[str, object] = json.loads(body)
        return said

    def events(self, outcome: str, vendor: str) -> int:
        """How many events of this vendor came to this."""
        return counted(self.admin, f'consent_mw_events_total{{outcome="{outcome}",vendor="{vendor}"}}')

    def lost(self) -> int:
        """How many reports the store did not take."""
        return counted(self.admin, "consent_mw_events_lost_total")


def until(holds: Callable[[], bool], seconds: float = SECONDS) -> bool:
    """Whether this comes to hold in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.02)
    return False


@contextlib.contextmanager
def a_shop(
    folder: Path,
    *,
    policy: str = POLICY,
    store: str = "",
    vendor_port: int = 0,
    constants: Mapping[str, Mapping[str, float]] | None = None,
) -> Iterator[Shop]:
    origin = Origin()
    origin.say(ANSWER)
    with receiving() as vendor:
        named = policy + VENDOR.format(port=vendor_port or vendor.server_address[1])
        with a_sidecar(folder, origin.port, policy=named, store=store, constants=constants) as (process, port, admin):
            yield Shop(folder, process.pid, port, admin, origin, vendor)
    origin.close()
