"""A visit over real sockets: what was sent, what came back, and what the sidecar says of it.

Rule: everything shown is read from the wire; nothing is worked out here.
"""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from consent_mw.cli.demo_site.people import Persona
from consent_mw.wire.cookies import SetCookie

SENT_ALONG = {"mixmax_session": "s1", "_ga": "GA1.1.7", "mystery": "7"}
"""Cookies that a returning browser holds from before."""

NUMBER = "X-Demo-Visit"
"""The header by which the site's log of a request is found again; it passes through the sidecar as any other."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request at the browser's socket: its number, the names of the cookies that it sent, and of those that the
    answer set (deletions apart). `answered` says whether the person had pressed accept or reject before it."""

    number: str
    path: str
    answered: bool
    sent: tuple[str, ...]
    got: tuple[str, ...]
    status: int


@dataclass(slots=True)
class Seen:
    """What one visit came to."""

    state: dict[str, Any] = field(default_factory=dict)
    tk: str = ""
    set_names: list[str] = field(default_factory=list)
    banner: bool = False
    asked: list[Asked] = field(default_factory=list)

    @property
    def identifier(self) -> bool:
        """Whether an identifier was set."""
        return any("__Host-vid" in one.got for one in self.asked)


class Browser:
    """A browser of the demonstration: keeps cookies by name, sends what its person's browser sends."""

    def __init__(self, host: str, port: int, person: Persona) -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=20)
        self._person = person
        self._requests = 0
        self._answered = False
        self.cookies = dict(SENT_ALONG)
        self.seen = Seen()

    def page(self, path: str) -> None:
        """Open a page."""
        answer, body = self._ask("GET", path, {"Accept": "text/html", "Sec-Fetch-Dest": "document"})
        self.seen.tk = answer.headers.get("Tk", "")
        self.seen.banner = b'id="cmw-banner"' in body

    def sign_in(self, path: str, name: str) -> None:
        """Send the site's own login form."""
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Dest": "document"}
        self._ask("POST", path, headers, urlencode({"name": name}).encode())

    def choose(self, answer: str) -> None:
        """Press accept or reject, as the form does."""
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}
        self._ask("POST", "/_consent/choice", headers, f"all={answer}&return=/".encode())
        self._answered = True

    def look(self) -> None:
        """Ask for the state, as the page's script does."""
        _, told = self._ask("GET", "/_consent/state", {"Accept": "application/json", "Sec-Fetch-Dest": "empty"})
        self.seen.state = json.loads(told)

    def close(self) -> None:
        """Leave."""
        self._connection.close()

    def _ask(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None = None
    ) -> tuple[http.client.HTTPResponse, bytes]:
        self._requests += 1
        number = f"{self._person.key}.{self._requests}"
        sent = {
            "Host": "localhost",
            "X-Forwarded-For": self._person.address,
            "User-Agent": self._person.agent,
            NUMBER: number,
            **dict(self._person.signals),
            **headers,
        }
        held = tuple(self.cookies)
        if held:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        self._connection.request(method, path, body, sent)
        answer = self._connection.getresponse()
        told = answer.read()
        got = tuple(name for line in answer.headers.get_all("Set-Cookie") or () if (name := self._keep(line)))
        self.seen.asked.append(Asked(number, path, self._answered, held, got, answer.status))
        return answer, told

    def _keep(self, line: str) -> str:
        """Keep or drop a cookie as the line says; its name where it is set."""
        cookie = SetCookie.parse(line.encode("latin-1"))
        if cookie is None:
            return ""
        name = cookie.name.decode("latin-1")
        if cookie.is_deletion(int(time.time())):
            self.cookies.pop(name, None)
            self.seen.set_names.append(f"{name} (deleted)")
            return ""
        self.cookies[name] = cookie.value.decode("latin-1")
        self.seen.set_names.append(name)
        return name


def visit(
    host: str, port: int, person: Persona, pages: tuple[str, ...] = ("/", "/pricing"), sign_in: str = ""
) -> Seen:
    """Visit these pages as this person; choose after the first where the person chooses, and sign in at last."""
    browser = Browser(host, port, person)
    try:
        for index, path in enumerate(pages):
            browser.page(path)
            if index == 0 and person.chooses:
                browser.choose(person.chooses)
        if sign_in:
            browser.sign_in(sign_in, f"Visitor {person.key}")
        browser.look()
    finally:
        browser.close()
    return browser.seen
