"""How a request's cost grows with the policy and with what browsers send: ten times the rules, vendors, cookies.

Run: `make bench-growth`. The middleware is called alone; its cost is that over the bare app.
Rule: what a policy holds must not show on the request path; what a browser sends costs by its length, no more.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from askers import GERMAN, KEY, Askers, Kind
from machine import HERE, fill
from middleware import scope_of, spent
from report import Part, Target, arguments, ratio_of

from consent_mw import ConsentMiddleware

AGAIN, FIRST = "again µs", "first time µs"
COUNT = 500
VENDOR = """
[vendor.v{0}]
kind     = "webhook"
purpose  = "analytics"
endpoint = "http://127.0.0.1:9/events"
key      = "key-of-the-benchmark"
fields   = ["event", "time", "page_path"]
"""
COOKIE = """
[[cookie]]
name    = "{0}"
purpose = "{1}"
"""
JURISDICTION = """
[jurisdiction.j{0}]
regions = ["{1}"]
regime  = "opt-in"
banner  = "none"
"""
COUNTRIES = re.findall("..", "BRCAAUJPINMXARCLCOPEZANGKEEGMATNTRUAGEAMKZUZTHVNPHIDMYSGKRTW")


@dataclass(frozen=True, slots=True)
class Size:
    """What one row has ten times as much of."""

    rules: int = 0
    prefixes: int = 0
    vendors: int = 0
    jurisdictions: int = 0
    cookies: int = 0
    padding: int = 0
    visitors: int = COUNT


SIZES = {
    "as it is": Size(),
    "10 rules of cookies": Size(rules=10),
    "100 rules of cookies": Size(rules=100),
    "1,000 rules of cookies": Size(rules=1_000),
    "1,000 rules that end in `*`": Size(prefixes=1_000),
    "3 vendors, denied": Size(vendors=3),
    "30 vendors, denied": Size(vendors=30),
    "30 jurisdictions more": Size(jurisdictions=30),
    "10 cookies more": Size(cookies=10),
    "100 cookies more": Size(cookies=100),
    "1 KB of fields more": Size(padding=1_000),
    "10 KB of fields more": Size(padding=10_000),
    "5,000 visitors": Size(visitors=5_000),
}
FLAT = (
    ("1,000 rules of cookies", "as it is", "1,000 rules of cookies, to none more"),
    ("1,000 rules that end in `*`", "as it is", "1,000 rules that end in `*`, to none more"),
    ("30 vendors, denied", "3 vendors, denied", "ten times the vendors"),
    ("30 jurisdictions more", "as it is", "30 jurisdictions more, to none more"),
)
NOISE = 1.15
"""What two runs of the same may differ by."""


def main() -> int:
    """Measure, print and write."""
    options = arguments(__doc__).parse_args()
    part = Part("growth", "Growth of a request's cost with size")
    table = part.table("page in an opt-in region, no answer", {AGAIN: 1, FIRST: 1}, AGAIN)
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(measured(table.add, Path(name), options.rounds))
    for large, small, text in FLAT:
        for column in (AGAIN, FIRST):
            grown = ratio_of(table.figure(large, column), table.figure(small, column))
            part.targets.append(Target(f"{text}, {column[:-3]}", grown, NOISE, at_least=False))
    part.finish(options.out)
    return 0


def policy_of(size: Size, folder: Path) -> Path:
    """A policy with so much in it."""
    text = fill(HERE / "policy.toml", {"BANNER": "none", "VENDOR": ""})
    text += "".join(COOKIE.format(f"rule_{number}", "analytics") for number in range(size.rules))
    text += "".join(COOKIE.format(f"rule_{number}_*", "analytics") for number in range(size.prefixes))
    text += "".join(VENDOR.format(number) for number in range(size.vendors))
    text += "".join(JURISDICTION.format(number, COUNTRIES[number]) for number in range(size.jurisdictions))
    file = folder / "policy.toml"
    file.write_text(text)
    return file


def asked(size: Size, first: int, count: int) -> list[dict[str, Any]]:
    """Requests of people who never answered; nobody has been seen before."""
    made = []
    for raw in Askers(Kind("/", GERMAN, known=False, first=first)).requests(count):
        scope = scope_of(raw)
        more = b"".join(b"; c%d=%d" % (number, number) for number in range(size.cookies))
        scope["headers"] = [(name, value + more if name == b"cookie" else value) for name, value in scope["headers"]]
        if size.padding:
            scope["headers"].append((b"x-padding", b"p" * size.padding))
        made.append(scope)
    return made


async def measured(add: Callable[[str, str, float], None], folder: Path, rounds: int) -> None:
    """Every size in every round, so that a busy machine slows all of them alike."""
    apps = {}
    for name, size in SIZES.items():
        policy = policy_of(size, folder)
        apps[name] = ConsentMiddleware(bare, policy=policy, keys=[KEY], store=f"sqlite:///{folder}/{len(apps)}.db")
        await spent(apps[name], asked(size, 0, 50))
    for number in range(rounds):
        for name, app in apps.items():
            size = SIZES[name]
            people = asked(size, 1_000 + number * 6_000, size.visitors)
            without = await spent(bare, people[:COUNT])
            add(name, FIRST, await spent(app, people) - without)
            add(name, AGAIN, await spent(app, people) - without)
    for app in apps.values():
        await app.gate.stop(0)


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """A page with two cookies."""
    fields = [(b"content-type", b"text/html"), (b"set-cookie", b"cart=1; Path=/"), (b"set-cookie", b"_ga=1; Path=/")]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": b"x" * 2048})


if __name__ == "__main__":
    sys.exit(main())
