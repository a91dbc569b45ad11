"""Style sheets within a page: the addresses in them that a decision denies are made to lead nowhere.

Rule: an address begins right after a quote or a parenthesis; context is not asked for, so that none can be mistaken.
Rule: what is put in goes before an address, which stays: `url(about:invalid#https://…)` is never fetched.
Rule: a string that is compared with (`[href="https://…"]`) is no address.
Rule: an address counts with its escapes undone and without: what a browser fetches ahead it reads carelessly.
Source: CSS Syntax 4.3, CSS Values 4.5.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from consent_mw.wire.html.hosts import Hosts
from consent_mw.wire.html.tags import meaning

NOWHERE: Final = b"about:invalid#"
LONGEST: Final = 512
"""Bytes of an address by which its host must be told."""

_ESC: Final = 0x1B
_BEGINS = re.compile(rb"[\"'(][\t\n\f\r ]{0,64}+(?=[/\\]|[hHwW][tTsS\t\\])")
_BEGINS_WRITTEN = re.compile(rb"[\"'(;][\t\n\f\r ]{0,64}+(?=[/\\&]|[hHwW][tTsS\t\\&])")
_OPENS = re.compile(rb"[\"'(;][\t\n\f\r ]{0,64}+")
_ADDRESS = re.compile(rb"(?:\\[\s\S]|[^\"'()\n\f\r\\])*+")
_CLOSES = re.compile(r"[\"'()]")
_ESCAPE = re.compile(r"\\(?:([0-9a-fA-F]{1,6})(?:\r\n|[\t\n\f\r ])?|(\r\n|[\n\f\r])|([\s\S]))")


def denied_at(css: bytes, hosts: Hosts, at: int, until: int, *, written: bool = False) -> Iterator[int]:
    """Where denied addresses begin between these places. `written`: it stands in markup, where references count."""
    for found in (_BEGINS_WRITTEN if written else _BEGINS).finditer(css, at, until):
        begins = found.end()
        if _compared(css, at, found.start()) < found.start():
            continue
        address = _ADDRESS.match(css, begins, min(until, begins + LONGEST))
        if address is None:
            continue
        # In another alphabet an escape is part of no address, and in ASCII no address has one.
        if _ESC in address[0] or any(map(hosts.denier, _readings(address[0], written=written))):
            yield begins


def settled(css: bytes, at: int, until: int) -> int:
    """How far addresses can be told here while more is to come."""
    for found in _OPENS.finditer(css, max(at, until - LONGEST - 65), until):
        address = _ADDRESS.match(css, found.end(), until)
        if address is None or until - found.end() >= LONGEST:
            continue
        if address.end() == until or css[address.end() : until] == b"\\":
            return _compared(css, at, found.start())
    return _compared(css, at, until)


def _compared(css: bytes, at: int, quote: int) -> int:
    """Where the equals sign stands that is right before this quote; the quote where there is none."""
    before = css[max(at, quote - 65) : quote].rstrip(b"\t\n\f\r ")
    return max(at, quote - 65) + len(before) - 1 if before.endswith(b"=") else quote


def _readings(address: bytes, *, written: bool) -> Iterator[str]:
    """What an address in a style sheet may be read as: its escapes undone, or not, as who only looks ahead does."""
    text = address.decode("utf-8", "surrogateescape")
    for one in (text, _CLOSES.split(meaning(address), maxsplit=1)[0]) if written else (text,):
        yield one
        if "\\" in one:
            yield _ESCAPE.sub(_unescaped, one)


def _unescaped(found: re.Match[str]) -> str:
    if found[1]:
        code = int(found[1], 16)
        return chr(code) if 0 < code < 0xD800 or 0xDFFF < code < 0x110000 else "\ufffd"
    return "" if found[2] else found[3]
