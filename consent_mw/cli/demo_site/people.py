"""Who visits the demonstration: real public addresses of real places, and user agents as browsers send them.

Rule: an address is only there for its place; the sidecar looks it up, nothing here says a jurisdiction.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0"
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"
)
SAFARI = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Mobile/15E148 Safari/604.1"
)
ANDROID = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36"
EDGE = f"{CHROME} Edg/126.0.0.0"
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
AGENTS = (FIREFOX, CHROME, SAFARI, IPHONE, ANDROID, EDGE)


@dataclass(frozen=True, slots=True)
class Persona:
    """Somebody who visits: a label, an address, and what their browser says."""

    key: str
    label: str
    address: str
    agent: str = FIREFOX
    signals: tuple[tuple[str, str], ...] = ()
    chooses: str = ""
    notes: str = field(default="", compare=False)


PERSONAS = (
    Persona("berlin", "Berlin", "85.214.132.117", FIREFOX, notes="EU: nothing optional before a yes"),
    Persona("berlin-yes", "Berlin, says yes", "85.214.132.117", CHROME, chooses="accept"),
    Persona("london", "London", "212.58.244.20", SAFARI, notes="UK: the same regime"),
    Persona("reykjavik", "Reykjavik, says no", "130.208.0.1", ANDROID, chooses="reject"),
    Persona("california-gpc", "California with GPC", "171.64.7.55", FIREFOX, (("Sec-GPC", "1"),)),
    Persona("new-york-dnt", "United States with DNT on", "74.125.224.72", CHROME, (("DNT", "1"),)),
    Persona("sao-paulo", "São Paulo", "200.160.2.3", IPHONE),
    Persona("crawler", "A crawler", "8.8.8.8", GOOGLEBOT, notes="a program gets no identifier"),
)

NETWORKS = (
    "85.214.132", "87.118.116", "88.198.10", "62.210.18", "195.154.1", "213.92.16", "195.57.152", "145.97.39", "193.0.6",
    "192.36.148", "130.237.28", "195.140.253", "62.179.1", "193.231.236", "130.208.0", "194.144.0", "193.213.112",
    "80.66.224", "212.58.244", "81.2.69", "130.59.1", "171.64.7", "128.32.10", "74.125.224", "24.48.0", "206.167.78",
    "187.141.0", "200.160.2", "190.210.0", "200.1.122", "133.11.93", "210.130.1", "168.126.63", "164.100.1", "49.44.59",
    "61.135.169", "139.130.4", "196.25.1", "41.203.64", "197.210.64",
)  # fmt: skip
"""Networks of universities, broadcasters and providers in twenty-odd countries."""


def crowd(number: int) -> Iterator[Persona]:
    """So many visitors, each with another address; some answer, some send a signal. The same every time."""
    for index in range(number):
        address = f"{NETWORKS[index % len(NETWORKS)]}.{1 + (index // len(NETWORKS)) % 254}"
        signals: tuple[tuple[str, str], ...] = ()
        if index % 7 == 3:
            signals = (("DNT", "1"),)
        if index % 11 == 5:
            signals = (*signals, ("Sec-GPC", "1"))
        chooses = {0: "accept", 1: "reject"}.get((index // len(NETWORKS)) % 4, "")
        yield Persona(str(index), "", address, AGENTS[index % len(AGENTS)], signals, chooses)
