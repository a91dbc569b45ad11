"""Plausible's events endpoint: it answers 202 to what it drops as well."""

from __future__ import annotations

import ipaddress

from tests.wire.vendors.simulators import Received, Reply, holds


class Plausible:
    refusal = Reply(400, b'{"errors":{}}')

    def __init__(self, drop: str = "") -> None:
        self.taken: list[str] = []
        self.drop = drop

    def take(self, request: Received) -> Reply:
        holds(request.path == "/api/event" and not request.query, "it is another path")
        ipaddress.ip_address(request.header("x-forwarded-for").split(",")[0].strip())
        holds(request.header("user-agent").isprintable() and request.header("user-agent"), "it needs a user agent")
        body = request.json
        holds(set(body) <= {"domain", "name", "url", "referrer", "props", "revenue", "interactive"}, "another member")
        holds(body["domain"] and 0 < len(body["name"]) <= 120, "it needs a domain and a name")
        holds(body["url"].startswith(("https://", "http://")) and len(body["url"]) <= 2000, "the URL is none")
        props = body.get("props", {})
        holds(len(props) <= 30, "there are more than 30 properties")
        for name, value in props.items():
            holds(len(name.encode()) <= 300 and len(str(value).encode()) <= 2000, "a property is too long")
            holds(isinstance(value, (str, int, float, bool)), "a property is none")
        if body["name"] == self.drop:
            return Reply(202, b"ok", (("x-plausible-dropped", "1"),))
        self.taken.append(body["name"])
        return Reply(202, b"ok")
