"""The visitors of a benchmark: requests for a page as browsers send them, each from another address.

Rule: 15 request headers, of them a Cookie of 600 bytes with permitted, deniable and unlisted cookies.
Rule: the same seed gives the same visitors; signatures are real, and made with the product's own keyring.
"""

from __future__ import annotations

import ipaddress
import random
import time
from pathlib import Path

from consent_mw.core.consent import Consent
from consent_mw.wire.token import Keyring

KEY = "the signing key of the benchmarks"
REVISION = "2026-01"
COOKIE_BYTES = 600
DAY = 86_400

CHROME = "Mozilla/5.0 ({0}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{1}.0.0.0 Safari/537.36"
FIREFOX = "Mozilla/5.0 ({0}; rv:{1}.0) Gecko/20100101 Firefox/{1}.0"
SYSTEMS = (
    "Windows NT 10.0; Win64; x64",
    "Macintosh; Intel Mac OS X 10_15_7",
    "X11; Linux x86_64",
    "Linux; Android 10; K",
)
BOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
IPV6 = ("2003:e7:", "2601:645:", "2a01:e0a:", "2a02:c7c:", "2409:8a28:", "2804:14c:", "2405:201:", "2a02:a31a:")
"""Prefixes of access providers in several countries."""

PATHS = (*tuple(f"/articles/{number}?utm_source=letter&utm_medium=email" for number in range(40)), "/", "/prices")
ACCEPT = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
LANGUAGES = ("en-US,en;q=0.9", "de-DE,de;q=0.9,en;q=0.8", "fr-FR,fr;q=0.9", "pt-BR,pt;q=0.9", "ja,en;q=0.7")

NEW, KNOWN, ACCEPTED = 0.30, 0.85, 0.93
"""Of the visitors, up to here: without an identifier, with one, with one and a yes; the rest with a no."""

GPC, DNT, BOTS, IPV6_SHARE = 0.08, 0.05, 0.02, 0.12


class Visitors:
    """Makes one visitor after another."""

    def __init__(self, seed: int = 1, *, agents: int = 24, new: float = NEW) -> None:
        """`new` is the share of those who come without an identifier; who came before has got one."""
        self._random = random.Random(seed)
        self._keys = Keyring([KEY])
        self._agents = agents
        self._now = int(time.time())
        self._made = 0
        self._new = new

    def write(self, file: Path, count: int) -> None:
        """Write the requests of this many further visitors, each ended by a NUL byte."""
        with file.open("wb") as out:
            for _ in range(count):
                out.write(self.request())
                out.write(b"\0")

    def request(self) -> bytes:
        """The next visitor's request."""
        self._made += 1
        chance = self._random.random
        signals = [("Sec-GPC", "1")] if chance() < GPC else [("DNT", "1")] if chance() < DNT else []
        number = self._random.randrange(self._agents) if self._agents else self._made
        make = self._firefox if number % 4 == 0 else self._chrome
        fields = make(number, signals)
        if chance() < BOTS:
            fields = [(name, BOT if name == "User-Agent" else value) for name, value in fields]
        fields += [("Cookie", self._cookies()), ("X-Forwarded-For", self._address())]
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
        return f"GET {self._random.choice(PATHS)} HTTP/1.1\r\n{lines}\r\n".encode("ascii")

    def _firefox(self, number: int, signals: list[tuple[str, str]]) -> list[tuple[str, str]]:
        return [
            ("Host", "www.example.com"),
            ("User-Agent", FIREFOX.format(SYSTEMS[number % 3], 100 + number // 4)),
            ("Accept", ACCEPT),
            ("Accept-Language", LANGUAGES[number % len(LANGUAGES)]),
            ("Accept-Encoding", "gzip, deflate, br, zstd"),
            *(signals or [("Referer", "https://www.example.com/articles?page=2")]),
            ("Upgrade-Insecure-Requests", "1"),
            ("Sec-Fetch-Dest", "document"),
            ("Sec-Fetch-Mode", "navigate"),
            ("Sec-Fetch-Site", "same-origin"),
            ("Sec-Fetch-User", "?1"),
            ("Priority", "u=0, i"),
            ("X-Forwarded-Proto", "https"),
        ]

    def _chrome(self, number: int, signals: list[tuple[str, str]]) -> list[tuple[str, str]]:
        version = 100 + number // 4
        return [
            ("Host", "www.example.com"),
            ("sec-ch-ua", f'"Chromium";v="{version}", "Google Chrome";v="{version}", "Not=A?Brand";v="24"'),
            ("sec-ch-ua-mobile", "?0"),
            ("sec-ch-ua-platform", '"Windows"'),
            ("Upgrade-Insecure-Requests", "1"),
            ("User-Agent", CHROME.format(SYSTEMS[number % len(SYSTEMS)], version)),
            ("Accept", ACCEPT),
            ("Sec-Fetch-Site", "none"),
            ("Sec-Fetch-Mode", "navigate"),
            *(signals or [("Sec-Fetch-User", "?1")]),
            ("Sec-Fetch-Dest", "document"),
            ("Accept-Encoding", "gzip, deflate, br, zstd"),
            ("Accept-Language", LANGUAGES[number % len(LANGUAGES)]),
        ]

    def _address(self) -> str:
        if self._random.random() < IPV6_SHARE:
            bits = self._random.getrandbits(80)
            parts = [f"{bits >> shift & 0xFFFF:x}" for shift in range(0, 80, 16)]
            return self._random.choice(IPV6) + ":".join(parts)
        while True:
            address = ipaddress.IPv4Address(self._random.getrandbits(32))
            if address.is_global and not address.is_multicast:
                return str(address)

    def _cookies(self) -> str:
        kind = self._random.random()
        word = self._random.getrandbits(128)
        pairs = [f"session={word:032x}", f"theme={'dark' if word & 1 else 'light'}", f"csrf_token={word >> 3:032x}"]
        refused = kind >= ACCEPTED
        if not refused:
            # Who refused has no such cookies any more: they were expired on the page after the no.
            pairs += [f"_ga=GA1.2.{word % 10**10}.1730000000", f"_ga_8VXC1R=GS1.1.{word % 10**10}.4.1"]
            pairs += [f"ad_id={word % 10**16}", f"_fbp=fb.1.1730000000000.{word % 10**9}"]
        if self._new <= kind < ACCEPTED:
            day = self._now // DAY - word % 90
            pairs.append(f"__Host-vid={self._keys.new_identifier(word.to_bytes(16, 'big'), day)[1]}")
        if kind >= KNOWN:
            pairs.append(f"__Host-consent={self._keys.sign_consent(self._consent(word, yes=not refused))}")
        room = COOKIE_BYTES - len("; ".join([*pairs, "cart="]))
        pairs.insert(2, "cart=" + (f"{word:039d}" * 20)[:room])
        return "; ".join(pairs)

    def _consent(self, word: int, *, yes: bool) -> Consent:
        at = self._now - word % (25 * DAY)
        answers = {"analytics": yes, "cross_site": yes and bool(word & 2)}
        return Consent(answers, at, REVISION, f"{word:032x}"[:22], REVISION, issued=at)
