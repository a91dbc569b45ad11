"""Mixpanel's import endpoint in strict mode: what is wrong in a batch is named, the rest is kept."""

from __future__ import annotations

import base64
import json
import re
import time
from typing import Any

from tests.wire.vendors.simulators import Received, Reply, holds, once

NOBODY = {"anon", "anonymous", "nil", "none", "null", "n/a", "na", "undefined", "unknown", "0", "-1", "true", "false"}
OURS = {
    "$insert_id", "$device_id", "$user_id", "$browser", "$browser_version", "$os", "$os_version", "$device",
    "$region", "$city", "$current_url", "$referrer", "$referring_domain", "$name", "$email", "$lib_version",
}  # fmt: skip


class Mixpanel:
    refusal = Reply(400, b'{"code":400,"error":"request malformed","status":"Bad Request"}')

    def __init__(self, user: str = "token:", bad: str = "") -> None:
        self.taken: list[str] = []
        self.user, self.bad = user, bad

    def take(self, request: Received) -> Reply:
        holds(request.path == "/import" and dict(request.query).get("strict") == "1", "it is not the strict import")
        basic = base64.b64encode(self.user.encode()).decode()
        holds(request.header("authorization") == f"Basic {basic}", "the key is another")
        holds(len(request.body) <= 10_000_000, "the body is too large")
        batch = request.json
        holds(0 < len(batch) <= 2000, "there are more than 2000 events")
        failed = []
        for at, event in enumerate(batch):
            self._checked(event)
            if self.bad and event["event"] == self.bad:
                row = {
                    "index": at,
                    "$insert_id": event["properties"]["$insert_id"],
                    "field": "event",
                    "message": "no",
                }
                failed.append(row)
            else:
                once(self.taken, _key(event))
        answer = {"num_records_imported": len(batch) - len(failed), "failed_records": failed}
        answer |= {"code": 400 if failed else 200, "status": "Bad Request" if failed else "OK"}
        return Reply(400 if failed else 200, json.dumps(answer).encode())

    def _checked(self, event: dict[str, Any]) -> None:
        properties = event["properties"]
        holds(set(event) == {"event", "properties"} and len(json.dumps(event)) < 1_000_000, "the event is none")
        holds(event["event"] and not event["event"].startswith("$"), "the event has no name of its own")
        holds(isinstance(properties["time"], int) and properties["time"] < (time.time() + 3600) * 1000, "the time")
        holds(re.fullmatch(r"[A-Za-z0-9-]{1,36}", properties["$insert_id"]), "$insert_id is none")
        holds(isinstance(properties["distinct_id"], str), "it would make one of the sender's address")
        holds(properties["distinct_id"].lower() not in NOBODY, "distinct_id is forbidden")
        holds("ip" in properties, "it would look up the sender's address")
        holds(len(properties) < 255, "there are too many properties")
        strange = {name for name in properties if name.startswith("$")} - OURS
        holds(not strange, f"these are Mixpanel's own: {strange}")
        holds(all(not isinstance(one, str) or len(one) <= 255 for one in properties.values()), "it would be cut")


def _key(event: dict[str, Any]) -> str:
    told = event["properties"]
    return f"{event['event']}/{told['time']}/{told['distinct_id']}/{told['$insert_id']}"
