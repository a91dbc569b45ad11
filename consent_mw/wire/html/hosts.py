"""Hosts: which host an address in a page leads to, as a browser reads it, and whether a decision denies it.

Rule: an address is read as the URL Standard reads it; where two readings are possible, either one counts.
Rule: the most specific host that a policy lists decides; one that an allowed vendor lists as well passes.
Rule: a host listed without a port stands for all of its ports.
Source: WHATWG URL 4.4 (special schemes), UTS #46.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import unquote_to_bytes

_EDGES: Final = "".join(map(chr, range(0x21)))
_NO_TABS: Final = {0: None, 9: None, 10: None, 13: None}
"""What is nothing within an address; a NUL is none to who looks ahead."""
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
_SPECIAL: Final = {"http": "80", "https": "443", "ws": "80", "wss": "443", "ftp": "21"}
_AUTHORITY_ENDS = re.compile(r"[/\\?#]")
_DOTS: Final = {0x3002: ".", 0xFF0E: ".", 0xFF61: "."}
_UNREADABLE = re.compile("[\ufffd\ud800-\udfff]")
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]*|[0-9]+")
_LONGEST_DATA: Final = 65_536
LONGEST_HOST: Final = 4096
"""Characters of a host as it is written; what is longer cannot be read, and counts as denied."""

HOSTS_KEPT: Final = 1024
"""Bound of the hosts of pages of which is remembered whether they are denied."""

_Place = tuple[str, tuple[str, ...]]


class Hosts:
    """What the hosts of a policy's vendors mean under one decision. `denied` pairs each denied host
    (`cdn.example.com`, `*.example.com`, either with a port) with its purpose; `allowed` are those of vendors that are
    allowed."""

    __slots__ = ("_known", "_listed", "_names")

    def __init__(self, denied: Iterable[tuple[str, str]], allowed: Iterable[str] = ()) -> None:
        self._listed: dict[str, str] = {}
        for host, purpose in denied:
            self._listed.setdefault(_listed_as(host), purpose)
        for host in allowed:
            self._listed[_listed_as(host)] = ""
        self._names = [name.partition(":")[0].removeprefix("*.") for name, purpose in self._listed.items() if purpose]
        self._known: dict[_Place, str] = {}

    def __bool__(self) -> bool:
        """Whether any host is denied."""
        return bool(self._names)

    def denier(self, address: str) -> str:
        """The purpose that denies the host this address leads to; empty where nothing does."""
        place = _place_of(address)
        if place is None:
            return ""
        known = self._known.get(place)
        if known is None:
            if len(self._known) >= HOSTS_KEPT:
                self._known.clear()
            known = self._known[place] = self._judge(*place)
        return known

    def named_in(self, address: str) -> str:
        """The purpose that denies a host which a `data:` address mentions in what it holds; else nothing."""
        text = address.strip(_EDGES).translate(_NO_TABS)
        if text[:5].lower() != "data:":
            return ""
        kind, _, content = text[5 : _LONGEST_DATA + 5].partition(",")
        held = unquote_to_bytes(content)
        if kind.rstrip().lower().endswith("base64"):
            kept = re.sub(rb"[^A-Za-z0-9+/]", b"", held)
            try:
                held = base64.b64decode(kept[: len(kept) // 4 * 4])
            except binascii.Error:
                return ""
        plain = held.lower().decode("latin-1")
        return next((self._judge(name, ()) or self._first() for name in self._names if name in plain), "")

    def _first(self) -> str:
        return next(purpose for purpose in self._listed.values() if purpose)

    def _judge(self, host: str, ports: tuple[str, ...]) -> str:
        if _UNREADABLE.search(host):
            return self._first() if self._names else ""
        for name in _wider(host):
            for key in (*(f"{name}:{port}" for port in ports), name):
                purpose = self._listed.get(key)
                if purpose is not None:
                    return purpose
        return ""


def _listed_as(host: str) -> str:
    return host.lower()


def _wider(host: str) -> Iterator[str]:
    """The names under which this host can be listed, the most specific first."""
    yield host
    rest = host.partition(".")[2]
    while rest:
        yield f"*.{rest}"
        rest = rest.partition(".")[2]


def _place_of(address: str) -> _Place | None:
    """The host that this address leads to away from its page, and the ports that are meant; None for none."""
    text = address.strip(_EDGES).translate(_NO_TABS)
    scheme = _SCHEME.match(text)
    if scheme is not None:
        default = _SPECIAL.get(scheme[1].lower())
        if default is None:
            return None
        # Without slashes this may be a path (where the page's scheme is the same), or may not.
        rest = text[scheme.end() :].lstrip("/\\")
        defaults: tuple[str, ...] = (default,)
    elif text[:1] in ("/", "\\") and text[1:2] in ("/", "\\"):
        rest, defaults = text.lstrip("/\\"), ("443", "80")
    else:
        return None
    authority = _AUTHORITY_ENDS.split(rest, maxsplit=1)[0].rpartition("@")[2]
    host, colon, port = authority.rpartition(":")
    if not colon or authority.endswith("]"):
        host, port = authority, ""
    host = _host(host) if len(host) <= LONGEST_HOST else "\ufffd"
    return (host, (port.lstrip("0"),) if port else defaults) if host else None


def _host(text: str) -> str:
    """The host in the form in which hosts are compared (domain to ASCII, numbers as an address)."""
    if "%" in text:
        text = _decoded(text)
    if text.isascii():
        host = text.lower()
    else:
        mapped = unicodedata.normalize("NFKC", text.translate(_DOTS)).lower()
        kept = (one for one in unicodedata.normalize("NFKC", mapped).translate(_DOTS) if not _ignored(one))
        host = ".".join(_to_ascii(label) for label in "".join(kept).split("."))
    host = host.removesuffix(".")
    return _numeric(host) if host[-1:].isalnum() and _NUMBER.fullmatch(host.rpartition(".")[2]) else host


def _decoded(text: str) -> str:
    return unquote_to_bytes(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")


def _ignored(char: str) -> bool:
    code = ord(char)
    return (
        unicodedata.category(char) == "Cf" or 0xFE00 <= code <= 0xFE0F or code == 0x34F or 0xE0100 <= code <= 0xE01EF
    )


def _to_ascii(label: str) -> str:
    if label.isascii() or _UNREADABLE.search(label):
        return label
    return "xn--" + label.encode("punycode").decode("ascii")


def _numeric(host: str) -> str:
    """An IPv4 address in any of the ways that it can be written, in the usual one; else the host as it is."""
    parts = host.split(".")
    if len(parts) > 4 or not all(map(_NUMBER.fullmatch, parts)):
        return host
    try:
        numbers = [_integer(part) for part in parts]
    except ValueError:
        return host
    last = numbers.pop()
    if any(number > 255 for number in numbers) or last >= 256 ** (4 - len(numbers)):
        return host
    whole = sum(number << (24 - 8 * index) for index, number in enumerate(numbers)) + last
    return ".".join(str(whole >> shift & 255) for shift in (24, 16, 8, 0))


def _integer(part: str) -> int:
    if part[:2] in ("0x", "0X"):
        return int(part[2:] or "0", 16)
    return int(part, 8) if len(part) > 1 and part[0] == "0" else int(part)
