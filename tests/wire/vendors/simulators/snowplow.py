"""A Snowplow collector with the validation of its pipeline: `payload_data` 1-0-4 (`additionalProperties: false`)."""

from __future__ import annotations

import json
import uuid
from typing import Any

from tests.wire.vendors.simulators import Received, Reply, holds, once

KEYS = """
tna aid p dtm stm ttm tz e tid eid tv duid nuid tnuid uid vid sid ip res url page refr fp ctype cookie lang
f_pdf f_qt f_realp f_wma f_dir f_fla f_java f_gears f_ag cd ds cs vp mac pp_mix pp_max pp_miy pp_may ad_ba
ad_ca ad_ad ad_uid tr_id tr_af tr_tt tr_tx tr_sh tr_ci tr_st tr_co tr_cu ti_id ti_sk ti_na ti_nm ti_ca ti_pr
ti_qu ti_cu sa sn st sp se_ca se_ac se_la se_pr se_va ue_na ue_pr ue_px ue_dtm cx co ua evn
"""
"""All that the schema knows."""

SCHEMA = "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4"


class Snowplow:
    refusal = Reply(400)

    def __init__(self, *, anonymous: bool = True) -> None:
        self.taken: list[str] = []
        self.anonymous = anonymous

    def take(self, request: Received) -> Reply:
        holds(request.path == "/com.snowplowanalytics.snowplow/tp2" and not request.query, "it is another path")
        holds(len(request.body) <= 192_000, "the record is too large for SQS")
        holds(not self.anonymous or request.header("sp-anonymous") == "*", "the sender's address would be taken")
        body = request.json
        holds(body["schema"] == SCHEMA and len(body["data"]) >= 1, "the payload is none")
        for one in body["data"]:
            self._event(one)
        return Reply(200, b"ok")

    def _event(self, one: dict[str, Any]) -> None:
        holds(set(one) <= set(KEYS.split()), f"the schema has no {set(one) - set(KEYS.split())}")
        holds(all(isinstance(value, str) for value in one.values()), "a value is no text")
        holds({"tv", "p", "e"} <= set(one), "a required key is missing")
        holds(one["e"] in ("pv", "pp", "se", "ue", "tr", "ti"), "the event is of no kind")
        holds(one["e"] != "se" or (one.get("se_ca") and one.get("se_ac")), "a structured event lacks its own")
        holds(len(one.get("duid", "")) <= 128 and len(one.get("uid", "")) <= 1000, "an id is too long")
        if "se_va" in one:
            float(one["se_va"])
        if "co" in one:
            content = json.loads(one["co"])
            holds(content["schema"].startswith("iglu:com.snowplowanalytics.snowplow/contexts/"), "the contexts")
            holds(all(set(inner) == {"schema", "data"} for inner in content["data"]), "a context describes nothing")
        once(self.taken, one.get("se_ac", one["e"]) + "/" + str(uuid.UUID(one["eid"])))
