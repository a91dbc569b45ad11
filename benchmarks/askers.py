"""Requests of one kind for a benchmark: who asks, from where, for what; 15 headers, of them a Cookie of 600 bytes.

Rule: everybody sends the same cookies, so that every middleware has the same to read; who is new lacks what we sign.
Rule: signatures are real: of the product's own keyring, of itsdangerous, and of Starlette's sessions.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Final

import itsdangerous
from visitors import ACCEPT, CHROME, DAY, FIREFOX, REVISION, SYSTEMS

from consent_mw.core.consent import Consent
from consent_mw.wire.token import Keyring

KEY: Final = "the signing key of the benchmarks"
COOKIE_BYTES: Final = 600
AMERICAN, GERMAN = "74.64", "85.214"
"""Networks of which every address is in that country."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of request: under `path`, by people `known` to us and `answered` or not, with so many user agents in
    rotation; a `style` is a part of a page. `body` makes it a POST of this `media` type, from a page of the site."""

    path: str
    network: str = AMERICAN
    known: bool = True
    answered: bool = False
    style: bool = False
    agents: int = 24
    body: str = ""
    media: str = "application/json"
    first: int = 0
    cookies: bool = True


class Askers:
    """Makes the requests of one kind."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._keys = Keyring([KEY])
        self._now = int(time())
        # What peers sign is the same for all: they remember nothing, so that it costs them no less.
        self._consent = itsdangerous.URLSafeTimedSerializer(KEY).dumps({"analytics": True, "at": self._now})
        session = b64encode(json.dumps({"person": "c2f1", "cart": [7, 12]}).encode())
        self._session = itsdangerous.TimestampSigner(KEY).sign(session).decode()

    def write(self, file: Path, count: int) -> Path:
        """Write the requests of this many people, each ended by a NUL byte."""
        with file.open("wb") as out:
            for raw in self.requests(count):
                out.write(raw + b"\0")
        return file

    def requests(self, count: int) -> Iterator[bytes]:
        """The requests of this many people."""
        for number in range(self._kind.first, self._kind.first + count):
            yield self._request(number)

    def _request(self, number: int) -> bytes:
        kind = self._kind
        agent = number % kind.agents
        made = FIREFOX if agent % 4 == 0 else CHROME
        fields = {
            "Host": "www.example.com",
            "User-Agent": made.format(SYSTEMS[agent % 3], 100 + agent),
            "Accept": "text/css,*/*;q=0.1" if kind.style else ACCEPT,
            "Accept-Language": "en-US,en;q=0.9",
            "Accept-Encoding": "gzip, deflate, br, zstd",
            "Referer": "https://www.example.com/articles?page=2",
            "Upgrade-Insecure-Requests": "1",
            "Sec-Fetch-Dest": "style" if kind.style else "empty" if kind.body else "document",
            "Sec-Fetch-Mode": "no-cors" if kind.style else "cors" if kind.body else "navigate",
            "Sec-Fetch-Site": "same-origin",
            "Sec-Fetch-User": "?1",
            "Priority": "u=0, i",
            "X-Forwarded-Proto": "https",
            "Cookie": self._cookies(number),
            "X-Forwarded-For": f"{kind.network}.{number // 250 % 250}.{number % 250 + 1}",
        }
        if not kind.cookies:
            del fields["Cookie"]
        if kind.body:
            fields |= {"Content-Type": kind.media, "Content-Length": str(len(kind.body))}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        method = "POST" if kind.body else "GET"
        return f"{method} {kind.path} HTTP/1.1\r\n{lines}\r\n{kind.body}".encode("ascii")

    def _cookies(self, number: int) -> str:
        pairs = [f"session={self._session}", f"consent={self._consent}", "theme=dark", f"csrf_token={number:032x}"]
        pairs += [f"_ga=GA1.2.{number}.1730000000", f"ad_id={number}"]
        if self._kind.known:
            token = self._keys.new_identifier(number.to_bytes(16, "big"), self._now // DAY - 9)[1]
            pairs.append(f"__Host-vid={token}")
        if self._kind.answered:
            at = self._now - number % DAY
            said = Consent(
                {"analytics": True, "cross_site": True}, at, REVISION, f"{number:022d}", REVISION, issued=at
            )
            pairs.append(f"__Host-consent={self._keys.sign_consent(said)}")
        room = COOKIE_BYTES - len("; ".join([*pairs, "cart="]))
        return "; ".join([*pairs, "cart=" + "c" * max(0, room)])
