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
    """Somebody who visits: a label, an address, what their browser says, and what they do. `chooses` is `accept`,
    `reject` or empty."""

    key: str
    label: str
    address: str
    agent: str = FIREFOX
    signals: tuple[tuple[str, str], ...] = ()
    chooses: str = ""
    signs_in: bool = False
    notes: str = field(default="", compare=False)


PERSONAS = (
    Persona("berlin", "Berlin", "85.214.132.117", FIREFOX, notes="European Union"),
    Persona("london", "London", "212.58.244.20", SAFARI, notes="United Kingdom"),
    Persona("reykjavik", "Reykjavik", "130.208.0.1", ANDROID, notes="Iceland: of the EEA, not of the EU"),
    Persona(
        "california", "California, with GPC", "171.64.7.55", FIREFOX, (("Sec-GPC", "1"),), notes="sends Sec-GPC: 1"
    ),
    Persona("dnt", "California, with Do Not Track", "128.32.10.7", CHROME, (("DNT", "1"),), notes="sends DNT: 1"),
    Persona("sao-paulo", "São Paulo", "200.160.2.3", IPHONE, notes="says nothing"),
    Persona("crawler", "A search engine's crawler", "66.249.66.1", GOOGLEBOT, notes="a program"),
)

NETWORKS = (
    "85.214.132", "87.118.116", "88.198.10", "62.210.18", "195.154.1", "213.92.16", "195.57.152", "145.97.39", "193.0.6",
    "192.36.148", "130.237.28", "195.140.253", "62.179.1", "193.231.236", "130.208.0", "194.144.0", "193.213.112",
    "80.66.224", "212.58.244", "81.2.69", "130.59.1", "171.64.7", "128.32.10", "74.125.224", "24.48.0", "206.167.78",
    "187.141.0", "200.160.2", "190.210.0", "200.1.122", "133.11.93", "210.130.1", "168.126.63", "164.100.1", "49.44.59",
    "61.135.169", "139.130.4", "196.25.1", "41.203.64", "197.210.64",
)  # fmt: skip
"""Networks of universities, broadcasters and providers in twenty-seven countries."""


def crowd(number: int) -> Iterator[Persona]:
    """So many visitors from everywhere; some answer, some send a signal, some sign in, one in fifty is a program.
    The same every time."""
    for index in range(number):
        signals: tuple[tuple[str, str], ...] = ()
        if index % 7 == 3:
            signals = (("DNT", "1"),)
        if index % 11 == 5:
            signals = (*signals, ("Sec-GPC", "1"))
        yield Persona(
            key=str(index),
            label="",
            address=f"{NETWORKS[index % len(NETWORKS)]}.{1 + (index // len(NETWORKS)) % 254}",
            agent=GOOGLEBOT if index % 50 == 49 else AGENTS[index % len(AGENTS)],
            signals=signals,
            chooses={0: "accept", 1: "reject"}.get((index // 3) % 5, ""),
            signs_in=index % 8 == 1,
        )
