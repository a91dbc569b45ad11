"""A visit over real sockets: what was sent, what came back, what reached the site, and what the sidecar says of it.

Rule: everything told here was read from a socket: of the browser, of the site or of the vendor.
Rule: each step has a path of its own, so that an event at the vendor can be traced to the state that it was made in.
"""

from __future__ import annotations

import http.client
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from consent_mw.cli.demo_site.people import Persona
from consent_mw.cli.demo_site.shop import Reached, Shop

HELD = {"mixmax_session": "s1", "_ga": "GA1.1.7", "mystery": "7"}
"""Cookies that a browser holds from before the site had a sidecar."""

OURS = ("__Host-consent", "__Host-vid")
"""Cookies that are consent_mw's own; they never reach the site."""


@dataclass(frozen=True, slots=True)
class Step:
    """One request of a visit. `sent` are the names of the browser's cookies, `set` those that the answer set, and
    `gone` those that it deleted; `state` is what the sidecar said (SPEC 6) just before."""

    label: str
    path: str
    status: int
    tk: str
    banner: bool
    sent: tuple[str, ...]
    set: tuple[str, ...]
    gone: tuple[str, ...]
    reached: Reached | None
    state: Mapping[str, Any]

    @property
    def permitted(self) -> frozenset[str]:
        """The fields that a vendor may get."""
        return frozenset(name for fields in self.state["vendors"].values() for name in fields)

    @property
    def passed(self) -> tuple[str, ...]:
        """Cookies that reached the site, or the browser from it."""
        reached = self.reached or Reached()
        return (*reached.cookies, *(name for name in reached.set if name in self.set))

    @property
    def dropped_to_site(self) -> tuple[str, ...]:
        """Cookies of the site that the browser sent and the site did not get."""
        reached = self.reached or Reached()
        return tuple(name for name in self.sent if name not in reached.cookies and name not in OURS)

    @property
    def dropped_to_browser(self) -> tuple[str, ...]:
        """Cookies that the site set and the browser did not get."""
        return tuple(name for name in (self.reached or Reached()).set if name not in self.set)

    @property
    def identified(self) -> bool:
        """Whether the browser got an identifier."""
        return "__Host-vid" in self.set


@dataclass(slots=True)
class Visit:
    """What somebody did, step by step."""

    person: Persona
    steps: list[Step] = field(default_factory=list)

    @property
    def state(self) -> Mapping[str, Any]:
        """The state that they ended in."""
        return self.steps[-1].state


class VisitFailedError(Exception):
    """A visit that came to no answer; the message says why."""


class Visitors:
    """Makes visits to one site; may be used from several threads."""

    def __init__(self, site: str, shop: Shop) -> None:
        where = urlsplit(site)
        self._host, self._port = where.hostname or "127.0.0.1", where.port or 80
        self._shop = shop
        self._numbers = itertools.count(1)

    def visit(self, person: Persona) -> Visit:
        """Open a page; answer and open another where this person answers; sign in where they sign in.

        Raises VisitFailedError where there is no answer, or none that a browser could read.
        """
        path = f"/letters/{next(self._numbers)}"
        browser = Browser(self._host, self._port, person)
        visit = Visit(person)
        try:
            self._step(visit, browser, "First page", path)
            if person.chooses:
                browser.choose(person.chooses)
                self._step(
                    visit, browser, f"Page after the {'yes' if person.chooses == 'accept' else 'no'}", f"{path}/2"
                )
            if person.signs_in:
                self._step(visit, browser, "Signing in", f"{path}/login", form=b"name=Ann")
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise VisitFailedError(f"a visit to {path} failed: {error}") from error
        finally:
            browser.close()
        return visit

    def _step(self, visit: Visit, browser: Browser, label: str, path: str, form: bytes | None = None) -> None:
        state = browser.state()
        sent = tuple(browser.cookies)
        answer, body = browser.get(path) if form is None else browser.post(path, form)
        lines = answer.headers.get_all("Set-Cookie") or []
        step = Step(
            label=label,
            path=path,
            status=answer.status,
            tk=answer.headers.get("Tk", ""),
            banner=b'id="cmw-banner"' in body,
            sent=sent,
            set=tuple(_name(line) for line in lines if not _deletes(line)),
            gone=tuple(_name(line) for line in lines if _deletes(line)),
            reached=self._shop.take(path),
            state=state,
        )
        visit.steps.append(step)


class Browser:
    """A browser of the demonstration: keeps cookies by name, and sends what its person's browser sends."""

    def __init__(self, host: str, port: int, person: Persona) -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=30)
        self._person = person
        self.cookies = dict(HELD)

    def get(self, path: str) -> tuple[http.client.HTTPResponse, bytes]:
        """Open a page."""
        return self._ask("GET", path, {"Accept": "text/html", "Sec-Fetch-Dest": "document"})

    def post(self, path: str, form: bytes) -> tuple[http.client.HTTPResponse, bytes]:
        """Send a form of the site."""
        kind = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "text/html"}
        return self._ask("POST", path, {**kind, "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "same-origin"}, form)

    def choose(self, answer: str) -> None:
        """Press `accept` or `reject` on the banner."""
        self.post("/_consent/choice", f"all={answer}&return=/".encode())

    def state(self) -> Mapping[str, Any]:
        """What the sidecar says of this browser now."""
        _, body = self._ask("GET", "/_consent/state", {"Accept": "application/json", "Sec-Fetch-Dest": "empty"})
        told: dict[str, Any] = json.loads(body)
        return told

    def close(self) -> None:
        """Leave."""
        self._connection.close()

    def _ask(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> tuple[http.client.HTTPResponse, bytes]:
        sent = {"X-Forwarded-For": self._person.address, "User-Agent": self._person.agent}
        sent |= {**dict(self._person.signals), **headers}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        self._connection.request(method, path, body, sent)
        answer = self._connection.getresponse()
        told = answer.read()
        for line in answer.headers.get_all("Set-Cookie") or ():
            self._keep(line)
        return answer, told

    def _keep(self, line: str) -> None:
        if _deletes(line):
            self.cookies.pop(_name(line), None)
        else:
            self.cookies[_name(line)] = line.partition(";")[0].partition("=")[2]


def _name(line: str) -> str:
    return line.partition("=")[0].strip()


def _deletes(line: str) -> bool:
    return "max-age=0" in line.lower().replace(" ", "").split(";")
