"""What it costs to gate a page, to put a banner into it and to code it again, by size, coding and what is denied.

Run: `make bench-content`. CPU per page (user and system) and the bytes that go out; the ways alternate within a
round, so that a busy machine slows all of them alike. What is promised: gating a page of 100 KB and inserting the
banner costs less than 0.5 ms.
"""

from __future__ import annotations

import gzip
import random
import sys
import time
import zlib
from collections.abc import Callable

from report import Part, Target, arguments

from consent_mw.wire.coding import decoder_for
from consent_mw.wire.html import Gating, Hosts
from consent_mw.wire.native import html
from consent_mw.wire.recoding import Recoder

READ = 65_536
"""Bytes that arrive at once."""

SIZES = (2_048, 20_000, 100_000)
PROMISED = 500.0
"""Microseconds that gating and inserting may cost on the largest page."""

HEAD = b"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Shop</title>
<link rel="stylesheet" href="/style.css"><link rel="preconnect" href="https://cdn.vendor.example">
<link rel="stylesheet" href="https://fonts.other.example/css?family=A&amp;display=swap">
<script async src="https://cdn.vendor.example/analytics.js"></script>
<script>window.queue = window.queue || []; function go() { queue.push(arguments) } go("page")</script>
<script type="text/plain" data-consent="analytics" data-src="/stats.js"></script>
<style>.a { color: red } .b { background: url(/b.png) }</style></head><body>
"""
FOOT = b"""<iframe src="https://video.vendor.example/1" width="560" height="315"></iframe>
<script src="/app.js" defer></script><noscript><img src="https://cdn.vendor.example/p.gif" alt=""></noscript>
</body></html>"""
DENIED = Gating(
    Hosts([("*.vendor.example", "analytics"), ("cdn.ads.example", "ads")]),
    frozenset({"essential"}),
    lambda _: b"<!doctype html><form><p>This part of the page needs your consent.</p><button>Allow</button></form>",
)
ALLOWED = Gating(Hosts(()), frozenset({"essential", "analytics", "ads"}))
GATED = "gating where hosts are denied, and banner"
BANNER = b"<section id=cmw-banner>" + b"<p>We ask before we set anything that is not needed. " * 40 + b"</section>"
Work = Callable[[], bytes]


def page(size: int) -> bytes:
    """A page of this size that compresses about as pages do, with four calls to a vendor and a script that waits."""
    chance = random.Random(size)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 9))) for _ in range(1500)]
    rows = []
    while sum(map(len, rows)) < size:
        text = " ".join(chance.choices(words, k=9))
        rows.append(f'<tr class="row"><td><a href="/item/{len(rows)}">{text}</a></td><td>{len(rows)}</td></tr>\n')
    return HEAD + "".join(rows).encode()[: max(0, size - len(HEAD) - len(FOOT))] + FOOT


def edited(body: bytes, came: bytes, goes: bytes, gating: Gating | None, banner: bytes = BANNER) -> Work:
    """The page through its editor, as it comes from an upstream that says its length."""

    def work() -> bytes:
        decoder = decoder_for((came,)) if came else None
        recoder = Recoder(banner, gating, decoder=decoder, coding=goes, length=len(body))
        parts = [recoder.feed(body[at : at + READ]) for at in range(0, len(body), READ)]
        return b"".join([*parts, recoder.finish()])

    return work


def compressed(body: bytes, level: int) -> Work:
    """What an upstream pays that compresses the page itself."""

    def work() -> bytes:
        coder = zlib.compressobj(level, wbits=31)
        return coder.compress(body) + coder.flush()

    return work


def main() -> int:
    """Measure every way a page can take, print and write."""
    options = arguments(__doc__).parse_args()
    part = Part("content", "Pages that get a banner")
    for size in SIZES:
        table = part.table(f"page of {size:,} bytes", {"CPU µs": 1, "bytes out": 0}, "CPU µs")
        ways = ways_of(page(size))
        for _ in range(options.rounds):
            for name, work in ways.items():
                table.add(name, "CPU µs", spent(work, max(3, 200_000 // size)))
        for name, work in ways.items():
            table.add(name, "bytes out", len(work()))
        gated = table.figure(GATED, "CPU µs")
    text = f"CPU of a page of {SIZES[-1]:,} bytes, {GATED}"
    part.targets.append(Target(text, gated, PROMISED, at_least=False, unit=" µs", shown=".0f"))
    part.notes.append(f"{'With' if html is not None else 'Without'} the native core.")
    part.finish(options.out)
    return 0


def ways_of(body: bytes) -> dict[str, Work]:
    """The ways this page can take."""
    coded = gzip.compress(body, 6)
    return {
        "banner": edited(body, b"", b"", None),
        "gating where nothing is denied": edited(body, b"", b"", ALLOWED, b""),
        "gating where hosts are denied": edited(body, b"", b"", DENIED, b""),
        GATED: edited(body, b"", b"", DENIED),
        "the same, goes as gzip": edited(body, b"", b"gzip", DENIED),
        "the same, comes as gzip and goes as gzip": edited(coded, b"gzip", b"gzip", DENIED),
        "beside it, the upstream's own gzip, level 1": compressed(body, 1),
        "beside it, the upstream's own gzip, level 6": compressed(body, 6),
    }


def spent(work: Work, times: int) -> float:
    """CPU microseconds of one."""
    began = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - began) / times * 1e6


if __name__ == "__main__":
    sys.exit(main())
