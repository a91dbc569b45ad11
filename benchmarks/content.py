"""What it costs to put a banner into a page and to code it again, by size, by coding and by what was asked upstream.

Run: `make bench-content`. Prints CPU per page (user and system) and the bytes that go out; the cheapest of several
rounds, which alternate so that a busy machine slows all of them alike.
"""

from __future__ import annotations

import gzip
import random
import time
import zlib
from collections.abc import Callable

from consent_mw.wire.coding import decoder_for
from consent_mw.wire.recoding import Recoder

ROUNDS = 9
READ = 65_536
"""Bytes that arrive at once."""

SIZES = (2_048, 20_000, 100_000)
BANNER = b"<section id=cmw-banner>" + b"<p>We ask before we set anything that is not needed. " * 40 + b"</section>"
Work = Callable[[], bytes]


def page(size: int) -> bytes:
    """A page of this size that compresses about as pages do."""
    chance = random.Random(size)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 9))) for _ in range(1500)]
    rows = []
    while sum(map(len, rows)) < size:
        text = " ".join(chance.choices(words, k=9))
        rows.append(f'<tr class="row"><td><a href="/item/{len(rows)}">{text}</a></td><td>{len(rows)}</td></tr>\n')
    return ("<!doctype html><html><head><title>x</title></head><body>" + "".join(rows)).encode()[:size]


def edited(body: bytes, came: bytes, goes: bytes) -> Work:
    """The page through its editor, as it comes from an upstream that says its length."""

    def work() -> bytes:
        decoder = decoder_for((came,)) if came else None
        recoder = Recoder(lambda _: BANNER, decoder=decoder, coding=goes, length=len(body))
        parts = [recoder.feed(body[at : at + READ]) for at in range(0, len(body), READ)]
        return b"".join([*parts, recoder.finish()])

    return work


def compressed(body: bytes, level: int) -> Work:
    """What an upstream pays that compresses the page itself."""

    def work() -> bytes:
        coder = zlib.compressobj(level, wbits=31)
        return coder.compress(body) + coder.flush()

    return work


def main() -> None:
    """Measure every way a page can take and print the table."""
    print(f"{'page':>8}  {'way':<50}{'CPU µs':>9}{'bytes out':>11}")
    for size in SIZES:
        body = page(size)
        coded = gzip.compress(body, 6)
        ways: dict[str, Work] = {
            "asked plain, goes plain": edited(body, b"", b""),
            "asked plain, goes as gzip": edited(body, b"", b"gzip"),
            "asked gzip, goes as gzip": edited(coded, b"gzip", b"gzip"),
            "  and the upstream's own gzip for it, level 1": compressed(body, 1),
            "  and the upstream's own gzip for it, level 6": compressed(body, 6),
        }
        spent = dict.fromkeys(ways, float("inf"))
        times = max(3, 400_000 // size)
        for _ in range(ROUNDS):
            for name, work in ways.items():
                began = time.process_time()
                for _ in range(times):
                    work()
                spent[name] = min(spent[name], (time.process_time() - began) / times * 1e6)
        for name, work in ways.items():
            print(f"{size:>8}  {name:<50}{spent[name]:>9.1f}{len(work()):>11}")


if __name__ == "__main__":
    main()
