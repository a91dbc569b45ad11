"""Link fields of an answer: what a browser would fetch ahead from a host that a decision denies is taken out.

Rule: the other links of a field stay byte for byte; a field of which none stays goes.
Rule: a field that browsers could split in different ways goes whole where it mentions what is denied.
Rule: Refresh leads a page on by itself, as its `meta` does.
Source: RFC 8288 3, RFC 8297 (early hints), WHATWG HTML 2.5 (processing Link headers).
"""

from __future__ import annotations

import re
from typing import Final

from consent_mw.wire.fields import Field, Fields, response_field
from consent_mw.wire.html.gating import HARMLESS, refreshes_to
from consent_mw.wire.html.hosts import Hosts

LINK: Final = b"link"
REFRESH: Final = b"refresh"

_MEMBER = re.compile(r"[^,<\"]*(?:(?:<[^>]*>|\"(?:[^\"\\]|\\.)*\")[^,<\"]*)*")
_TARGET = re.compile(r"<([^>]*)>")
_REL = re.compile(r";\s*rel\s*=\s*(?:\"([^\"]*)\"|([^\s;,\"]+))", re.IGNORECASE)
_PARTS = re.compile(r"[\s,;<>\"'=]+")


def without_denied(fields: Fields, hosts: Hosts) -> Fields:
    """The fields without links that make a browser call a denied host, and without a Refresh to one."""
    kept: Fields = []
    for field in fields:
        if field[0] == LINK:
            left = _link(field, hosts)
            kept += [left] if left is not None else []
        elif field[0] != REFRESH or not hosts.denier(refreshes_to(field[1].decode("latin-1"))):
            kept.append(field)
    return kept


def _link(field: Field, hosts: Hosts) -> Field | None:
    value = field[1].decode("latin-1")
    members: list[str] = []
    at = 0
    while at <= len(value):
        found = _MEMBER.match(value, at)
        end = found.end() if found is not None else at
        if end < len(value) and value[end] != ",":
            return None if _mentions(value, hosts) else field
        members.append(value[at:end])
        at = end + 1
    kept = [one for one in members if not _denied(one, hosts)]
    if len(kept) == len(members):
        return field
    left = ",".join(kept).strip(" \t").encode("latin-1")
    return response_field(field[2][: len(field[0])], left) if left else None


def _denied(member: str, hosts: Hosts) -> bool:
    if not _mentions(member, hosts):
        return False
    rel = _REL.search(_TARGET.sub("", member, count=1))
    named = (rel[1] if rel[1] is not None else rel[2]).lower().split() if rel is not None else []
    return not named or not HARMLESS.issuperset(named)


def _mentions(text: str, hosts: Hosts) -> bool:
    return any(hosts.denier(one) for one in (*_TARGET.findall(text), *_PARTS.split(text)))
