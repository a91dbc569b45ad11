"""The site of the crash run: its policy, what it answers, and what each vendor may get of whom.

Rule: every event has a mark of its own, which every vendor may get, so that an event is known wherever it turns up.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

MARK = re.compile(rb"v[0-9]+\.e[0-9]+z")
"""How the mark of an event is written; it looks like nothing that is masked, and like nothing that is random."""

PERSONAL: Mapping[str, re.Pattern[bytes]] = {
    "mark": MARK,
    "email": re.compile(rb"nora\.[0-9]+@private\.example"),
    "name": re.compile(rb"Nora Numero[0-9]+"),
    "agent": re.compile(rb"Firefox/[0-9.]+ of[0-9]+x"),
    "path": re.compile(rb"secretword[0-9]+q"),
    "ip": re.compile(rb"(?:85\.214\.132|74\.125\.224)\.[0-9]+"),
}
"""What is of a person or of an event, by what it is; who a registered visitor is stays, for the person's rights."""

RULES = """
schema = 1
revision = "2026-01"
[site]
name = "Example"
origin = "https://example.com"
policy_url = "https://example.com/privacy"
[client_address]
trusted = ["127.0.0.0/8"]
[purpose.essential]
text = "Keep you signed in."
essential = true
[purpose.analytics]
text = "Learn which pages are read."
[purpose.marketing]
text = "Learn what is bought."
[jurisdiction.eea_uk]
regions = ["EEA", "GB"]
regime = "opt-in"
[jurisdiction.elsewhere]
regions = ["*"]
regime = "opt-out"
[identifier]
cookie = "__Host-vid"
purpose = "analytics"
lasts = "395d"
[urls]
redact = ["/reset/*"]
[vendor.hook]
kind = "webhook"
purpose = "analytics"
endpoint = "http://127.0.0.1:{hook}/in"
fields = ["event", "time", "visitor_id", "page_path", "ip", "user_id", "name", "email", "query.n", "props.n"]
fields_in.eea_uk = ["event", "time", "visitor_id", "page_path", "query.n", "props.n"]
[vendor.rough]
kind = "webhook"
purpose = "marketing"
endpoint = "http://127.0.0.1:{rough}/in"
fields = ["event", "time", "visitor_id", "query.n", "props.n"]
[vendor.batch]
kind = "segment"
purpose = "analytics"
endpoint = "http://127.0.0.1:{batch}/v1/batch"
key = "a-write-key"
fields = ["event", "time", "visitor_id", "query.n", "props.n"]
[vendor.once]
kind = "plausible"
purpose = "marketing"
domain = "example.com"
endpoint = "http://127.0.0.1:{once}/api/event"
fields = ["event", "user_agent", "ip_truncated", "query.n", "props.n"]
fields_in.eea_uk = []
[vendor.logs]
kind = "otlp"
purpose = "analytics"
endpoint = "http://127.0.0.1:{logs}/v1/logs"
fields = ["event", "time", "visitor_id", "query.n", "props.n"]
"""

PURPOSES: Mapping[str, str] = {
    "hook": "analytics",
    "rough": "marketing",
    "batch": "analytics",
    "once": "marketing",
    "logs": "analytics",
}
"""Each vendor with its purpose."""

DEDUPES = ("hook", "rough", "batch")
"""Vendors that know an event that came before."""

NOTHING_IN_EEA = ("once",)

SECRETS: Mapping[tuple[str, str], frozenset[str]] = {
    ("hook", "elsewhere"): frozenset({"email", "name", "user", "ip", "id"}),
    ("once", "elsewhere"): frozenset({"agent"}),
    ("once", "eea_uk"): frozenset(),
}
"""What of a person each vendor may get there; where nothing is said, the identifier alone."""

PAGE = b"<!doctype html><html><head><title>Shop</title></head><body><p>whole</p></body></html>"

Answer = tuple[int, list[tuple[str, str]], bytes]


def policy(ports: Mapping[str, int]) -> str:
    """The policy, with each vendor at its port."""
    return RULES.format(**ports)


def may_get(vendor: str, jurisdiction: str) -> frozenset[str]:
    """What of a person this vendor may get there."""
    return SECRETS.get((vendor, jurisdiction), frozenset({"id"}))


def answer(target: str) -> Answer:
    """What the site says to a request: pages; `/buy` and `/login` speak by headers and are none."""
    address = urlsplit(target)
    if address.path == "/buy":
        return 200, [("Content-Type", "application/json"), ("Consent-Event", 'bought;plan="pro"')], b"{}"
    if address.path == "/login":
        number = parse_qs(address.query)["u"][0]
        who = ", ".join(f'{key}="{value}"' for key, value in person(number).items())
        return 200, [("Content-Type", "application/json"), ("Consent-Identify", who)], b"{}"
    return 200, [("Content-Type", "text/html; charset=utf-8"), ("Set-Cookie", "session=s; Path=/")], PAGE


def person(number: str) -> dict[str, str]:
    """Who the visitor of this number is when logged in."""
    return {"user_id": f"user-{number}-u", "name": f"Nora Numero{number}", "email": f"nora.{number}@private.example"}
