"""HTTP archives (HAR 1.2), as browsers save them: what was asked, and which cookies went and came.

Rule: names of cookies and hosts only; no value is returned.
Rule: what is no archive is None; an entry that cannot be read is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of an archive: its host in lower case, the names of the cookies sent, and the Set-Cookie lines."""

    host: str
    sent: tuple[str, ...]
    set: tuple[str, ...]


def read_har(data: bytes) -> tuple[Asked, ...] | None:
    """The requests of this archive, in order."""
    try:
        archive = json.loads(data)
        entries = archive["log"]["entries"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return None
    return tuple(_asked(entries)) if isinstance(entries, list) else None


def _asked(entries: list[object]) -> Iterator[Asked]:
    for entry in entries:
        request = entry.get("request") if isinstance(entry, dict) else None
        response = entry.get("response") if isinstance(entry, dict) else None
        url = request.get("url") if isinstance(request, dict) else None
        if not isinstance(url, str) or not isinstance(request, dict):
            continue
        try:
            host = (urlsplit(url).hostname or "").lower()
        except ValueError:
            continue
        sent = [name for line in _values(request, "cookie") for name in _names(line)]
        came = [line for value in _values(response, "set-cookie") for line in value.split("\n") if line]
        # Some archives tell cookies here alone.
        sent += [name for name in _listed(request) if name not in sent]
        known = {line.partition("=")[0].strip() for line in came}
        came += [f"{name}=" for name in _listed(response) if name not in known]
        yield Asked(host, tuple(sent), tuple(came))


def _values(message: object, header: str) -> Iterator[str]:
    headers = message.get("headers") if isinstance(message, dict) else None
    for one in headers if isinstance(headers, list) else ():
        name, value = (one.get("name"), one.get("value")) if isinstance(one, dict) else (None, None)
        if isinstance(name, str) and isinstance(value, str) and name.lower() == header:
            yield value


def _listed(message: object) -> Iterator[str]:
    cookies = message.get("cookies") if isinstance(message, dict) else None
    for one in cookies if isinstance(cookies, list) else ():
        name = one.get("name") if isinstance(one, dict) else None
        if isinstance(name, str) and name.strip():
            yield name.strip()


def _names(line: str) -> Iterator[str]:
    for pair in line.split(";"):
        name, equals, _ = pair.partition("=")
        if equals and name.strip():
            yield name.strip()
