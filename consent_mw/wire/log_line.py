"""Lines of access logs: Common and Combined Log Format, and JSON as nginx, Caddy and others write it.

Rule: a line that cannot be read is None; nothing of it is repaired, and nothing of it is shown to anyone.
Rule: what a log calls a member by is looked for under the names that servers use; the first that is there counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

LONGEST_LINE: Final = 65_536
"""Bytes of a line that is read."""

_COMMON: Final = re.compile(
    rb'(\S+) \S+ .*?\[[^\]]*\] "(?:([A-Z]+) (\S+)(?: HTTP/[0-9.]+)?|[^"]*)" (\d{3}) \S+'
    rb'(?: "(?:[^"\\]|\\.)*" "((?:[^"\\]|\\.)*)")?'
)
_REQUEST: Final = re.compile(r"([A-Z]+) (\S+)(?: HTTP/[0-9.]+)?")

_ADDRESS: Final = (
    "remote_addr",
    "remote_ip",
    "client_ip",
    "client_addr",
    "clientip",
    "client",
    "ip",
    "remote_host",
    "host",
)
_METHOD: Final = ("method", "request_method")
_TARGET: Final = ("path", "uri", "request_uri", "target", "url")
_COUNTRY: Final = ("country", "country_code", "geoip_country_code", "geoip2_country_code")
_REGION: Final = ("region", "region_code", "geoip_region", "geoip2_region")
_HEADERS: Final[Mapping[bytes, tuple[str, ...]]] = {
    b"dnt": ("dnt", "http_dnt"),
    b"sec-gpc": ("sec_gpc", "gpc", "http_sec_gpc"),
    b"cookie": ("cookie", "http_cookie"),
    b"x-forwarded-for": ("x_forwarded_for", "http_x_forwarded_for"),
    b"user-agent": ("user_agent", "http_user_agent", "agent"),
}


@dataclass(frozen=True, slots=True)
class LogLine:
    """One request of a log. `address` is what the server logged of its peer, or empty; `country` and `region` are
    upper-case codes and `jurisdiction` a name, where the log has them; `headers` are those it has."""

    address: str
    method: bytes
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    country: str = ""
    region: str = ""
    jurisdiction: str = ""


def read_log_line(line: bytes) -> LogLine | None:
    """The request that this line is about; None where it is no line of a log that is known here."""
    text = line.strip()
    if text[:1] == b"{":
        return _json(text)
    found = _COMMON.match(text)
    if found is None or found[2] is None:
        return None
    agent = found[5]
    headers = ((b"user-agent", agent),) if agent and agent != b"-" else ()
    return LogLine(_plain(found[1].decode("latin-1")), found[2], found[3], headers)


def _json(text: bytes) -> LogLine | None:
    try:
        members = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(members, dict):
        return None
    request = members.get("request")
    inner = request if isinstance(request, dict) else {}
    method, target = _asked(members, inner, request)
    if not method or not target:
        return None
    return LogLine(
        _plain(_first(inner, _ADDRESS[:-1]) or _first(members, _ADDRESS)),
        method.encode("utf-8", "replace"),
        target.encode("utf-8", "replace"),
        _headers(members, inner),
        _first(members, _COUNTRY).upper(),
        _first(members, _REGION).upper(),
        _first(members, ("jurisdiction",)),
    )


def _asked(members: Mapping[str, object], inner: Mapping[str, object], request: object) -> tuple[str, str]:
    if isinstance(request, str):
        found = _REQUEST.match(request)
        return (found[1], found[2]) if found else ("", "")
    return _first(inner, _METHOD) or _first(members, _METHOD), _first(inner, _TARGET) or _first(members, _TARGET)


def _headers(members: Mapping[str, object], inner: Mapping[str, object]) -> tuple[tuple[bytes, bytes], ...]:
    found: list[tuple[bytes, bytes]] = []
    for source in (inner.get("headers"), members.get("headers")):
        for name, values in source.items() if isinstance(source, dict) else ():
            each = values if isinstance(values, list) else [values]
            found += [(name.lower().encode(), one.encode("utf-8", "replace")) for one in each if isinstance(one, str)]
    sent = {name for name, _ in found}
    for header, names in _HEADERS.items():
        value = _first(members, names)
        if value and value != "-" and header not in sent:
            found.append((header, value.encode("utf-8", "replace")))
    return tuple(found)


def _first(members: Mapping[str, object], names: tuple[str, ...]) -> str:
    for name in names:
        value = members.get(name)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if value is True:
            return "1"
    return ""


def _plain(address: str) -> str:
    return "" if address == "-" else address
