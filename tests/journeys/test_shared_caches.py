"""Real shared caches in front: nobody gets another's page, cookie, identifier or 304; what may be shared is shared.

Every answer that comes through the cache is held against what the sidecar says to the same visitor directly.
"""

from __future__ import annotations

import gzip
import json
import random
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.journeys.caches import Cache, Client, Shop, a_shop, careless_cdn, eager_varnish, nginx, present, varnish
from tests.journeys.sidecar import serving
from tests.journeys.site import BERLIN, FIREFOX, LONDON, NEW_YORK, POLICY

SEED = 20260815
REQUESTS = 400
PUBLIC_POLICY = POLICY + '\n[scope]\nexclude = ["/api/*"]\n'
SHARED_POLICY = PUBLIC_POLICY.replace("[site]", "[site]\nshared_pages = true")
CACHES: dict[str, tuple[str, Cache]] = {
    "nginx": ("nginx", nginx),
    "a CDN that knows no Vary": ("nginx", careless_cdn),
    "Varnish": ("varnishd", varnish),
    "eager Varnish": ("varnishd", eager_varnish),
}
CACHE = pytest.mark.parametrize("name", CACHES)

PAGES = ("/page/1", "/page/2", "/page/cookie")
FILES = ("/1.css", "/2.css", "/brief.css", "/api/x.css")
WITH_COOKIES = ("/cookie.css",)
PERSONAL = ("/told.json", "/personal.json")


@dataclass
class Visitor:
    """A person with a browser: an address, what it always sends, its cookies, and the tags of what it holds."""

    address: str
    always: dict[str, str]
    keeps: bool = True
    cookies: dict[str, str] = field(default_factory=dict)
    tags: dict[str, list[str]] = field(default_factory=dict)

    def headers(self, **more: str) -> dict[str, str]:
        """What goes with a request."""
        said = {"x-forwarded-for": self.address, "user-agent": FIREFOX, **self.always, **more}
        if self.cookies:
            said["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return said

    def take(self, lines: list[str]) -> None:
        """Take the cookies of an answer, if this browser takes any."""
        for line in lines if self.keeps else ():
            name, _, value = line.partition(";")[0].partition("=")
            if "Max-Age=0" in line:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value


def visitors() -> list[Visitor]:
    """People of three regions, two languages, with and without signals, compression and cookies."""
    people = []
    for number, address in enumerate((BERLIN, LONDON, NEW_YORK) * 4):
        always = {"accept-language": ("en", "de")[number % 2]}
        always |= ({}, {"sec-gpc": "1"}, {"dnt": "1"}, {"dnt": "0"})[number % 4]
        always |= ({"accept-encoding": "gzip, br"}, {}, {"accept-encoding": "gzip"})[number % 3]
        people.append(Visitor(address, always, keeps=number < 9))
    return people


class Street:
    """The way through the cache and the way past it, with everything that was ever set."""

    def __init__(self, cache: int, sidecar: int) -> None:
        self._ports = (cache, sidecar)
        self._lock = threading.Lock()
        self._owners: dict[str, int] = {}
        self._local = threading.local()
        self.asked: Counter[str] = Counter()
        self.not_modified = 0

    def visit(self, visitor: Visitor, path: str, *, method: str = "GET", **said: str) -> None:
        """One request through the cache, held against the direct answer to the same visitor."""
        headers = visitor.headers(**said)
        plain = {name: value for name, value in headers.items() if name not in ("if-none-match", "range")}
        _, expected, whole = self._clients[1].ask("GET", path, plain)
        status, got, body = self._clients[0].ask(method, path, headers)
        told, expected_told = dict(got), dict(expected)
        fresh = [value for name, value in got if name == "set-cookie"]
        with self._lock:
            self.asked[path] += 1
            assert not values_of(fresh) & self._owners.keys(), "a cookie was given twice"
            self._owners |= dict.fromkeys(values_of(fresh), id(visitor))
        allowed = {value.partition("=")[0] for name, value in expected if name == "set-cookie"}
        assert {line.partition("=")[0] for line in fresh} <= allowed
        if status == 304:
            self.not_modified += 1
            assert said["if-none-match"].removeprefix("W/") == expected_told["etag"].removeprefix("W/")
        elif status == 206:
            assert (said["range"], body) == ("bytes=0-3", plain_body(expected_told, whole)[:4])
        else:
            assert status == 200
            assert method == "HEAD" or plain_body(told, body) == plain_body(expected_told, whole)
        same = ("tk",) if status == 304 else ("tk", "content-type")
        if status != 206:
            assert {name: told.get(name) for name in same} == {name: expected_told.get(name) for name in same}
        assert told.get("etag", "").removeprefix("W/") in ("", expected_told.get("etag", "").removeprefix("W/"))
        if "etag" in told:
            visitor.tags.setdefault(path, []).append(told["etag"])
        visitor.take(fresh)

    def choose(self, visitor: Visitor, yes: bool) -> None:
        """Answer the banner through the cache."""
        headers = visitor.headers(**{"sec-fetch-site": "same-origin", "content-type": "application/json"})
        status, got, _ = self._clients[0].ask("POST", "/_consent/choice", headers, json.dumps({"all": yes}).encode())
        assert status == 200
        lines = [value for name, value in got if name == "set-cookie"]
        with self._lock:
            # The same answer twice within a second makes the same cookie.
            assert {self._owners.get(value, id(visitor)) for value in values_of(lines)} <= {id(visitor)}
            self._owners |= dict.fromkeys(values_of(lines), id(visitor))
        visitor.take(lines)

    def close(self) -> None:
        """End this thread's connections."""
        for client in self._clients:
            client.close()

    @property
    def _clients(self) -> tuple[Client, Client]:
        if not hasattr(self._local, "clients"):
            self._local.clients = (Client(self._ports[0]), Client(self._ports[1]))
        clients: tuple[Client, Client] = self._local.clients
        return clients


def values_of(lines: list[str]) -> set[str]:
    """What these Set-Cookie lines set; deletions are the same for everybody."""
    return {line.partition(";")[0] for line in lines if "Max-Age=0" not in line}


def plain_body(headers: dict[str, str], body: bytes) -> bytes:
    """The body without its coding."""
    return gzip.decompress(body) if headers.get("content-encoding") == "gzip" and body else body


@contextmanager
def a_street(folder: Path, name: str, policy: str) -> Iterator[tuple[Street, Shop]]:
    """A shop, the sidecar before it and this cache before that."""
    server, cache = CACHES[name]
    if not present(server):
        pytest.skip(f"{server} is not installed (see tests/packaging/debian.sh)")
    with a_shop() as shop, serving(folder, policy, f"http://127.0.0.1:{shop.server_address[1]}") as url:
        sidecar = int(url.rpartition(":")[2])
        with cache(folder, sidecar) as port:
            street = Street(port, sidecar)
            yield street, shop
            street.close()


def walk(street: Street, people: list[Visitor], paths: tuple[str, ...], chance: random.Random) -> None:
    """One random step of one of these people: nearly always a visit, now and then an answer."""
    visitor = chance.choice(people)
    if chance.random() < 0.04:
        street.choose(visitor, chance.random() < 0.5)
        return
    path = chance.choice(paths)
    page = path.startswith("/page/")
    said = {"sec-fetch-dest": "document" if page and chance.random() < 0.85 else "empty", "accept": "*/*"}
    dice = chance.random()
    method = "HEAD" if dice < 0.05 else "GET"
    if 0.05 <= dice < 0.4:
        # One's own tag, or one that another person's browser holds.
        held = [tag for one in (visitor, chance.choice(people)) for tag in one.tags.get(path, [])]
        said |= {"if-none-match": chance.choice(held)} if held else {}
    elif dice > 0.9 and not page:
        said["range"] = "bytes=0-3"
    street.visit(visitor, path, method=method, **said)


def press(street: Street, people: list[Visitor], path: str) -> None:
    """All of them ask for the same page at the same moment."""
    together = threading.Barrier(len(people))

    def visit(visitor: Visitor) -> None:
        try:
            together.wait(10)
            for _ in range(3):
                street.visit(visitor, path, **{"sec-fetch-dest": "document"})
        finally:
            street.close()

    with ThreadPoolExecutor(len(people)) as pool:
        for done in [pool.submit(visit, visitor) for visitor in people]:
            done.result(60)


def fetched(shop: Shop, street: Street, paths: tuple[str, ...]) -> tuple[int, int]:
    """How often the shop was asked for these through the cache, and how often people asked the cache."""
    asked = sum(street.asked[path] for path in paths)
    return sum(shop.asked[path] for path in paths) - asked, asked


@CACHE
def test_nobody_gets_anothers_page_cookie_or_304(tmp_path: Path, name: str) -> None:
    chance = random.Random(SEED)
    # A cache that knows no Vary makes a site's own mistake of what varies by cookies.
    personal = PERSONAL[:1] if "no Vary" in name else PERSONAL
    with a_street(tmp_path, name, PUBLIC_POLICY) as (street, shop):
        people = visitors()
        for _ in range(REQUESTS):
            walk(street, people, (*PAGES * 3, *FILES, *WITH_COOKIES, *personal), chance)
        pages = fetched(shop, street, PAGES)
        files = fetched(shop, street, FILES)
    assert street.not_modified > 10
    assert pages[0] >= pages[1] * 0.9  # each page is the shop's anew, but for a 304 that nobody had to be asked for
    assert files[0] < files[1] * (0.95 if name == "Varnish" else 0.5)


@CACHE
def test_nobody_gets_anothers_page_when_all_come_at_once(tmp_path: Path, name: str) -> None:
    with a_street(tmp_path, name, PUBLIC_POLICY) as (street, shop):
        people = visitors()
        for path in PAGES:
            press(street, people, path)
        assert fetched(shop, street, PAGES) == (3 * 3 * len(people), 3 * 3 * len(people))


@pytest.mark.parametrize("name", ["nginx", "eager Varnish"])
def test_shared_pages_are_shared_and_their_cookies_are_not(tmp_path: Path, name: str) -> None:
    chance = random.Random(SEED)
    with a_street(tmp_path, name, SHARED_POLICY) as (street, shop):
        people = visitors()
        for _ in range(REQUESTS // 2):
            walk(street, people, (*PAGES, *FILES, *WITH_COOKIES, *PERSONAL), chance)
        shared, with_cookie = fetched(shop, street, PAGES[:2]), fetched(shop, street, PAGES[2:])
    assert shared[0] <= 8  # two pages in two languages, and what asked for parts or came by another way
    assert with_cookie[0] >= with_cookie[1] * 0.9
