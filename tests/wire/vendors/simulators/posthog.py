"""PostHog's two endpoints for batches, as its own library uses them."""

from __future__ import annotations

import gzip
import json
import uuid
from datetime import datetime
from typing import Any

from tests.wire.vendors.simulators import Received, Reply, holds, once


class Posthog:
    refusal = Reply(400, b'{"type":"validation_error"}')

    def __init__(self, key: str = "phc_1", drop: str = "", retry: str = "") -> None:
        self.taken: list[str] = []
        self.key, self.drop, self.retry = key, drop, retry

    def take(self, request: Received) -> Reply:
        raw = gzip.decompress(request.body) if request.header("content-encoding") == "gzip" else request.body
        holds(len(raw) < 20_000_000, "the body is too large")
        body = json.loads(raw)
        if request.path.rstrip("/") == "/i/v1/analytics/events":
            return self._newer(request, body)
        holds(request.path == "/batch/", "it is another path")
        holds(body["api_key"] == self.key, "the key is another")
        holds(set(body) <= {"api_key", "batch", "historical_migration", "sentAt", "sent_at"}, "another member")
        for event in body["batch"]:
            self._event(event)
        return Reply(200, b'{"status":"Ok"}')

    def _newer(self, request: Received, body: dict[str, Any]) -> Reply:
        holds(request.header("authorization") == f"Bearer {self.key}", "the key is another")
        for name in ("posthog-sdk-info", "posthog-attempt", "posthog-request-timestamp"):
            holds(request.header(name), f"{name} is missing")
        uuid.UUID(request.header("posthog-request-id"))
        holds(set(body) <= {"created_at", "batch", "historical_migration"}, "there is another member")
        datetime.fromisoformat(body["created_at"])
        results = {}
        for event in body["batch"]:
            options = event["options"]
            holds(all(isinstance(one, bool) for one in options.values()), "an option is of another type")
            holds(datetime.fromisoformat(event["timestamp"]).tzinfo, "the time has no zone")
            results[event["uuid"]] = {"result": self._result(event)}
        return Reply(200, json.dumps({"results": results}).encode())

    def _result(self, event: dict[str, Any]) -> str:
        if event["event"] == self.drop:
            return "drop"
        if event["event"] == self.retry:
            self.retry = ""
            return "retry"
        self._event(event)
        return "ok"

    def _event(self, event: dict[str, Any]) -> None:
        uuid.UUID(event["uuid"])
        holds(isinstance(event["event"], str) and event["event"], "the event has no name")
        holds(isinstance(event["distinct_id"], str) and 0 < len(event["distinct_id"]) <= 200, "nobody did it")
        holds(isinstance(event["properties"], dict), "the properties are none")
        once(self.taken, event["event"] + "/" + event["uuid"])
