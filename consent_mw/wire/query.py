"""URLs as they may leave: no query, no fragment, no userinfo, and nothing of a path that the policy keeps back.

Rule: a parameter leaves only if its name is given; nothing else of a query ever does.
Rule: `[urls] redact` patterns match the decoded path, so that another spelling hides nothing.
Rule: nothing is cut here: half of an email would not be masked as one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote, unquote_to_bytes, urlencode, urlsplit

HIDDEN = "*"
"""What stands in a path for the part that never leaves."""

_IN_TEXT = re.compile(r"""([a-z][a-z0-9+.-]{0,15}://[^\s/?#"'<>]*)?(/[^\s"'<>()]*)""", re.IGNORECASE)
_IN_TARGET = "%/:@!$&'()*+,;=~-._?"


@dataclass(frozen=True, slots=True)
class PageAddress:
    """Where a page is, as it may leave."""

    path: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class ReferrerAddress:
    """Where a visitor came from, as it may leave."""

    host: str = ""
    url: str = ""


def clean_page(origin: str, target: bytes, redact: Sequence[str], named: frozenset[str]) -> PageAddress:
    """The page of this origin (scheme and host) and raw request target."""
    path, _, query = target.decode("latin-1").partition("#")[0].partition("?")
    scheme, absolute, rest = path.partition("://")
    if absolute and "/" not in scheme:
        path = "/" + rest.partition("/")[2]
    plain = clean_path(path, redact)
    return PageAddress(plain, origin + plain + _named_query(query.encode("latin-1"), named))


def clean_referrer(raw: bytes, redact: Sequence[str], named: frozenset[str]) -> ReferrerAddress:
    """The referrer of this header value; nothing where it is no http URL."""
    try:
        parts = urlsplit(raw.decode("latin-1"))
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return ReferrerAddress()
    if parts.scheme not in ("http", "https") or not host:
        return ReferrerAddress()
    shown = f"[{host}]" if ":" in host else host
    origin = f"{parts.scheme}://{shown}" + (f":{port}" if port is not None else "")
    path = clean_path(parts.path or "/", redact)
    query = _named_query(parts.query.encode("latin-1", "replace"), named)
    return ReferrerAddress(host, origin + path + query)


def clean_path(path: str, redact: Sequence[str]) -> str:
    """The path with what the patterns' `*` covers hidden; untouched where none matches."""
    forms = _forms(path) if redact else ()
    for pattern in redact:
        prefix, star, _ = pattern.partition("*")
        wanted = prefix.lower()
        if any(one.startswith(wanted) and len(one) > len(wanted) if star else one == wanted for one in forms):
            return quote(prefix, safe="/:@!$&'()*+,;=~-._") + HIDDEN if star else HIDDEN
    return path


def hide_in_text(text: str, redact: Sequence[str]) -> str:
    """The text with what the patterns cover hidden in each path and URL of it."""
    if not redact or "/" not in text:
        return text

    def hidden(found: re.Match[str]) -> str:
        plain = re.split("[?#]", found[2], maxsplit=1)[0]
        clean = clean_path(plain, redact)
        return found[0] if clean == plain else (found[1] or "") + clean

    return _IN_TEXT.sub(hidden, text)


def target_of_page(said: str) -> bytes:
    """A page's path and query as a request target, as a browser would have asked for it; no fragment."""
    return quote(said.partition("#")[0], safe=_IN_TARGET, errors="replace").encode("ascii")


def named_parameters(query: bytes, named: frozenset[str]) -> dict[str, str]:
    """The parameters of this raw query that may leave, by name (the first of each); `*` names all."""
    try:
        pairs = parse_qsl(query.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=200)
    except ValueError:
        return {}
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in named or "*" in named:
            found.setdefault(name, value)
    return found


def _forms(path: str) -> tuple[str, ...]:
    """What servers make of this path, in lower case: decoded, decoded as bytes, decoded once more (a proxy may have
    been in between), and each without dot segments, empty ones and parameters (RFC 3986 3.3)."""
    octets = path.encode("latin-1") if all(char <= "\xff" for char in path) else path.encode("utf-8", "replace")
    decoded = (unquote(path), unquote_to_bytes(octets).decode("utf-8", "replace"))
    spelled = [one.lower() for one in (*decoded, *(unquote(one) for one in decoded))]
    return (*spelled, *(_canonical(one) for one in spelled))


def _canonical(path: str) -> str:
    plain = re.sub(r";[^/]*", "", path.replace("\\", "/"))
    segments: list[str] = []
    for segment in plain.split("/"):
        if segment == "..":
            segments = segments[:-1]
        elif segment not in ("", "."):
            segments.append(segment)
    return "/" + "/".join(segments) + ("/" if segments and plain.endswith(("/", "/.", "/..")) else "")


def _named_query(query: bytes, named: frozenset[str]) -> str:
    """The query that a URL may carry: only parameters named one by one, `*` names none here (SPEC 2)."""
    kept = named_parameters(query, named - {"*"}) if query and named else {}
    return f"?{urlencode(kept)}" if kept else ""
