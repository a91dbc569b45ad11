"""Amplitude's HTTP API V2: what is wrong in a batch is named by index, and nothing of it is kept."""

from __future__ import annotations

import json
from typing import Any

from tests.wire.vendors.simulators import BrokenError, Received, Reply, holds, once

TOP = {
    "user_id", "device_id", "event_type", "time", "event_properties", "user_properties", "insert_id", "ip", "country",
    "region", "city", "os_name", "language", "user_agent", "library",
}  # fmt: skip
NOBODY = {"anonymous", "nil", "none", "null", "n/a", "na", "undefined", "unknown", "0", "-1", "true", "false", ""}


class Amplitude:
    refusal = Reply(400, b'{"code":400,"error":"Request missing required field"}')

    def __init__(self, key: str = "key", bad: str = "", silenced: str = "", limit: int = 2000) -> None:
        self.taken: list[str] = []
        self.key, self.bad, self.silenced, self.limit = key, bad, silenced, limit

    def take(self, request: Received) -> Reply:
        holds(request.path in ("/2/httpapi", "/batch"), "it is another path")
        body = request.json
        holds(body["api_key"] == self.key, "the key is another")
        events = body["events"]
        if len(events) > self.limit or len(request.body) >= 1_000_000:
            raise BrokenError("the batch is too large", Reply(413, b'{"code":413,"error":"Payload too large"}'))
        holds(set(body) <= {"api_key", "events", "options"}, "there is another member")
        for event in events:
            _checked(event, int(body.get("options", {}).get("min_id_length", 5)))
        wrong = [at for at, event in enumerate(events) if self.bad and event["event_type"] == self.bad]
        silenced = [at for at, event in enumerate(events) if self.silenced and event["event_type"] == self.silenced]
        if wrong or silenced:
            told = {"code": 400, "error": "no", "events_with_invalid_fields": {"event_type": wrong}}
            return Reply(400, json.dumps({**told, "silenced_events": silenced}).encode())
        for event in events:
            once(self.taken, f"{event['event_type']}/{event.get('device_id', '')}/{event['insert_id']}")
        return Reply(200, json.dumps({"code": 200, "events_ingested": len(events)}).encode())


def _checked(event: dict[str, Any], shortest: int) -> None:
    holds(set(event) <= TOP, f"an event has another member: {set(event) - TOP}")
    ids = [event[name] for name in ("user_id", "device_id") if name in event]
    holds(ids and all(len(one) >= shortest and one.lower() not in NOBODY for one in ids), "nobody did it")
    holds(event["event_type"], "the event has no type")
    holds(event.get("ip") != "$remote", "it would look up the sender's address")
    holds(all(len(str(one)) <= 1024 for one in event.get("event_properties", {}).values()), "a value is too long")
