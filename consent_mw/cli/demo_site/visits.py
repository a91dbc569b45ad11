"""A visit over real sockets: what was sent, what came back, and what the sidecar says of it.

Rule: everything shown is read from the wire; nothing is worked out here.
"""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass, field
from typing import Any

from consent_mw.cli.demo_site.people import Persona

SENT_ALONG = {"mixmax_session": "s1", "_ga": "GA1.1.7", "mystery": "7"}
"""Cookies that a returning browser holds from before."""


@dataclass(slots=True)
class Seen:
    """What one visit came to."""

    state: dict[str, Any] = field(default_factory=dict)
    tk: str = ""
    set_names: list[str] = field(default_factory=list)
    offered_names: list[str] = field(default_factory=list)
    banner: bool = False
    identifier: bool = False
    pages: int = 0
    status: int = 0


class Browser:
    """A browser of the demonstration: keeps cookies by name, sends what its person's browser sends."""

    def __init__(self, host: str, port: int, person: Persona) -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=20)
        self._person = person
        self.cookies = dict(SENT_ALONG)

    def get(self, path: str, *, document: bool = True) -> tuple[http.client.HTTPResponse, bytes]:
        """GET a path."""
        accept = "text/html" if document else "application/json"
        return self._ask("GET", path, {"Accept": accept, "Sec-Fetch-Dest": "document" if document else "empty"})

    def choose(self, answer: str) -> None:
        """Press accept or reject, as the form does."""
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}
        self._ask("POST", "/_consent/choice", headers, f"all={answer}&return=/".encode())

    def close(self) -> None:
        """Leave."""
        self._connection.close()

    def _ask(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None = None
    ) -> tuple[http.client.HTTPResponse, bytes]:
        sent = {
            "Host": "localhost",
            "X-Forwarded-For": self._person.address,
            "User-Agent": self._person.agent,
            **dict(self._person.signals),
            **headers,
        }
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        self._connection.request(method, path, body, sent)
        answer = self._connection.getresponse()
        told = answer.read()
        for line in answer.headers.get_all("Set-Cookie") or ():
            self._keep(line)
        return answer, told

    def _keep(self, line: str) -> None:
        pair, _, attributes = line.partition(";")
        name, _, value = pair.partition("=")
        if "max-age=0" in attributes.lower().replace(" ", ""):
            self.cookies.pop(name.strip(), None)
        else:
            self.cookies[name.strip()] = value


def visit(host: str, port: int, person: Persona, pages: tuple[str, ...] = ("/", "/pricing")) -> Seen:
    """Visit these pages as this person; choose after the first where the person chooses."""
    browser = Browser(host, port, person)
    seen = Seen()
    for index, path in enumerate(pages):
        answer, body = browser.get(path)
        seen.pages += 1
        seen.status = answer.status
        seen.tk = answer.headers.get("Tk", "")
        seen.banner = b'id="cmw-banner"' in body
        for line in answer.headers.get_all("Set-Cookie") or ():
            name = line.partition("=")[0]
            gone = "max-age=0" in line.lower()
            seen.set_names.append(f"{name} (deleted)" if gone else name)
            seen.identifier = seen.identifier or (name == "__Host-vid" and not gone)
        if index == 0 and person.chooses:
            browser.choose(person.chooses)
    _, told = browser.get("/_consent/state", document=False)
    seen.state = json.loads(told)
    browser.close()
    return seen
