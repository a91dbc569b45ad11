"""Matomo's bulk tracking."""

from __future__ import annotations

import json
import re
from urllib.parse import parse_qsl

from tests.wire.vendors.simulators import Received, Reply, holds

KNOWN = {
    "idsite", "rec", "apiv", "send_image", "_id", "cid", "uid", "url", "urlref", "action_name", "ua", "lang", "cdt",
    "ca", "e_c", "e_a", "e_n", "e_v", "cip", "country", "region", "city",
}  # fmt: skip
WITH_TOKEN = {"cip", "country", "region", "city"}


class Matomo:
    refusal = Reply(400, b'{"status":"error","tracked":0}')

    def __init__(self, token: str = "", bad: str = "") -> None:
        self.taken: list[str] = []
        self.token, self.bad = token, bad

    def take(self, request: Received) -> Reply:
        holds(request.path == "/matomo.php" and not request.query, "it is another path, or a token is in the URL")
        body = request.json
        holds(set(body) <= {"requests", "token_auth"} and body["requests"], "the bulk is none")
        trusted = bool(self.token) and body.get("token_auth") == self.token
        invalid, last = [], 0
        for at, one in enumerate(body["requests"]):
            told = self._checked(one, trusted=trusted)
            last, before = int(told.get("cdt", last)), last
            holds(last >= before, "they are not chronological")
            if told.get("e_a") == self.bad and self.bad:
                invalid.append(at)
            else:
                self.taken.append(told.get("e_a") or told.get("url", "view"))
        answer = {"status": "success", "tracked": len(body["requests"]) - len(invalid), "invalid": len(invalid)}
        if trusted:
            answer["invalid_indices"] = invalid
        return Reply(400 if invalid else 200, json.dumps(answer).encode())

    def _checked(self, one: str, *, trusted: bool) -> dict[str, str]:
        holds(one.startswith("?"), "a request begins with ?")
        pairs = parse_qsl(one[1:], keep_blank_values=True, strict_parsing=True)
        told = dict(pairs)
        holds(len(told) == len(pairs), "a parameter stands there twice")
        unknown = {name for name in told if name not in KNOWN and not re.fullmatch(r"dimension[1-9][0-9]{0,2}", name)}
        holds(not unknown, f"there are other parameters: {unknown}")
        holds(told["idsite"].isdigit() and told["rec"] == "1", "idsite and rec are required")
        holds(trusted or not WITH_TOKEN & set(told), "it takes this with a token only")
        holds(not trusted or told["cip"], "the sender's address would be taken")
        for name in ("_id", "cid"):
            holds(name not in told or re.fullmatch(r"[0-9a-f]{16}", told[name]), f"{name} is not 16 digits")
        holds(told.keys() & {"cid", "uid"} or told.get("cip", "0.0.0.0") != "0.0.0.0", "all would be one visitor")
        if {"e_c", "e_a", "e_n", "e_v"} & set(told):
            holds(told["e_c"].strip() and told["e_a"].strip(), "an event has a category and an action")
            float(told.get("e_v", "0"))
        holds(told.get("country", "").islower() or "country" not in told, "the country is not in lower case")
        return told
