"""What a browser lets load under Content-Security-Policies, step by step as the standard says (CSP3 6.7, 6.8).

Written apart from `consent_mw.wire.csp`, so that the two can disagree.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
FALLBACKS = {
    "script": ["script-src-elem", "script-src", "default-src"],
    "style": ["style-src-elem", "style-src", "default-src"],
    "connect": ["connect-src", "default-src"],
    "image": ["img-src", "default-src"],
    "frame": ["frame-src", "child-src", "default-src"],
    "worker": ["worker-src", "child-src", "script-src", "default-src"],
    "font": ["font-src", "default-src"],
    "media": ["media-src", "default-src"],
    "object": ["object-src", "default-src"],
    "form": ["form-action"],
}
SOURCE = re.compile(r"^(([a-z][a-z0-9+.-]*)://)?(\*|(\*\.)?[a-z0-9_.-]+)(:(\d+|\*))?(/.*)?$", re.IGNORECASE)


@dataclass(frozen=True)
class Load:
    """One thing that a page at `origin` asks for; `nonce` is that of the element, which the parser inserted."""

    kind: str
    url: str
    nonce: str = ""
    origin: str = "https://shop.test"


def allows(headers: Sequence[str], load: Load) -> bool:
    """Whether every policy of these headers lets it load."""
    return all(_allows(one, load) for header in headers for one in header.split(","))


def _allows(text: str, load: Load) -> bool:
    directives: dict[str, list[str]] = {}
    for token in text.split(";"):
        words = token.split()
        if words and token.isascii() and words[0].lower() not in directives:
            directives[words[0].lower()] = words[1:]
    for name in FALLBACKS[load.kind]:
        if name in directives:
            return _listed(directives[name], load)
    return True


def _listed(sources: list[str], load: Load) -> bool:
    if load.kind in ("script", "style") and load.nonce and f"'nonce-{load.nonce}'" in sources:
        return True
    if load.kind == "script" and "'strict-dynamic'" in [one.lower() for one in sources]:
        return False
    return any(_matches(one, load) for one in sources)


def _matches(source: str, load: Load) -> bool:
    url, home = urlsplit(load.url), urlsplit(load.origin)
    if source == "*":
        return url.scheme in ("http", "https") or url.scheme == home.scheme
    if source.lower() == "'self'":
        same_port = (url.port or PORTS[url.scheme]) == (home.port or PORTS[home.scheme]) or not (
            url.port or home.port
        )
        return (
            url.hostname == home.hostname and same_port and (url.scheme in ("https", "wss") or home.scheme == "http")
        )
    if re.fullmatch(r"[a-z][a-z0-9+.-]*:", source, re.IGNORECASE):
        return _scheme(source[:-1].lower(), url.scheme)
    found = SOURCE.match(source)
    if found is None or not _scheme((found[2] or home.scheme).lower(), url.scheme):
        return False
    host, named = url.hostname or "", found[3].lower()
    if named != "*" and not (host.endswith(named[1:]) if named.startswith("*.") else host == named):
        return False
    if found[6] != "*" and (int(found[6]) if found[6] else PORTS[url.scheme]) != (url.port or PORTS[url.scheme]):
        return False
    return _path(found[7] or "", url.path)


def _scheme(ours: str, asked: str) -> bool:
    wider = {"http": {"https"}, "ws": {"wss", "http", "https"}, "wss": {"https"}}
    # Browsers let an expression for http(s) match a socket of its strength, as 'self' does.
    sockets = {"https": {"wss"}, "http": {"ws", "wss"}}
    return ours == asked or asked in wider.get(ours, ()) or asked in sockets.get(ours, ())


def _path(ours: str, asked: str) -> bool:
    if not ours or (ours == "/" and not asked):
        return True
    whole, pieces = ours.split("/"), asked.split("/")
    if ours.endswith("/"):
        whole.pop()
        return [unquote(one) for one in pieces[: len(whole)]] == [unquote(one) for one in whole]
    return [unquote(one) for one in pieces] == [unquote(one) for one in whole]
