"""GA4's Measurement Protocol: it answers 204 to everything, and counts only what follows its rules."""

from __future__ import annotations

import re
from typing import Any

from tests.wire.vendors.simulators import Received, Reply, holds

TOP = {
    "client_id", "user_id", "timestamp_micros", "user_properties", "user_data", "consent", "events", "user_location",
    "ip_override", "device", "user_agent", "validation_behavior",
}  # fmt: skip
LOCATION = {"city", "region_id", "country_id", "subcontinent_id", "continent_id"}
DEVICE = {
    "category", "language", "screen_resolution", "operating_system", "operating_system_version", "model", "brand",
    "browser", "browser_version",
}  # fmt: skip
RESERVED = re.compile(
    r"ad_(?:activeview|click|exposure|query|reward)|adunit_exposure|app_(?:clear_data|exception|install|remove|"
    r"store_refund|update|upgrade)|dynamic_link_.*|error|firebase_.*|first_open|first_visit|notification_.*|os_update|"
    r"session_start|user_engagement"
)
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
HASH = re.compile(r"[0-9a-f]{64}")
LONGER = {"page_title": 300, "page_referrer": 420, "page_location": 1000}


class Ga4:
    refusal = Reply(204)

    def __init__(self) -> None:
        self.taken: list[str] = []

    def take(self, request: Received) -> Reply:
        holds(request.path == "/mp/collect", "it is another path")
        query = dict(request.query)
        holds(set(query) == {"measurement_id", "api_secret"}, "it takes two parameters")
        holds(re.fullmatch(r"G-[A-Z0-9]+", query["measurement_id"]) and query["api_secret"], "they are not sound")
        holds(len(request.body) < 130_000, "the body is too large")
        body = request.json
        holds(set(body) <= TOP, f"there is a member of another name: {set(body) - TOP}")
        holds(re.fullmatch(r"[1-9][0-9]*\.[1-9][0-9]*", body["client_id"]), "client_id is no two numbers")
        holds(set(body["consent"].values()) <= {"GRANTED", "DENIED"}, "the consent is none")
        holds(set(body.get("user_location", {})) <= LOCATION, "the location is none")
        holds(set(body.get("device", {})) <= DEVICE, "the device is none")
        holds("user_data" not in body or _hashed(body["user_data"]), "user_data is not hashed")
        holds(1 <= len(body["events"]) <= 25, "there are more than 25 events")
        for event in body["events"]:
            _event(event)
            self.taken.append(event["name"])
        return Reply(204)


def _hashed(told: dict[str, Any]) -> bool:
    texts = [*told.get("sha256_email_address", ())]
    for one in told.get("address", ()):
        holds(set(one) <= {"sha256_first_name", "sha256_last_name"}, "the address says more than names")
        texts += one.values()
    return bool(texts) and all(HASH.fullmatch(text) for text in texts)


def _event(event: dict[str, Any]) -> None:
    holds(set(event) <= {"name", "params", "timestamp_micros"}, "an event has another member")
    holds(NAME.fullmatch(event["name"]) and not RESERVED.fullmatch(event["name"]), f"{event['name']} is no name")
    params = event["params"]
    holds({"session_id", "engagement_time_msec"} <= set(params), "the event never leaves the realtime report")
    holds(len(params) <= 25, "there are more than 25 parameters")
    holds(isinstance(event.get("timestamp_micros", 0), int), "the time is no integer")
    for name, value in params.items():
        holds(NAME.fullmatch(name), f"{name} is no parameter")
        holds(not name.startswith(("_", "firebase_", "ga_", "google_", "gtag.")), f"{name} is reserved")
        holds(isinstance(value, (str, int, float)) and not isinstance(value, bool), f"{name} is no text or number")
        holds(not isinstance(value, str) or len(value) <= LONGER.get(name, 100), f"{name} is too long")
