"""Telling: the state of a visitor (SPEC 6) as JSON, put together of what is the same for many.

Rule: it says to the byte what `core.explain.state` says; all but the consent is written once for a decision and a
      country.
"""

from __future__ import annotations

import json
from typing import Final

from consent_mw.core.decision import Decision
from consent_mw.core.explain import consent_told, state
from consent_mw.core.facts import Facts
from consent_mw.wire.remembered import Remembered

STATES_KEPT: Final = 1024
"""Bound of the states that are remembered, twice: by decision and country."""

_ELSEWHERE: Final = '"consent":0'
"""Where the consent stands; nothing that a policy says looks so, since its quotes are escaped (RFC 8259 7)."""

to_json: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Telling:
    """The states under one policy."""

    def __init__(self) -> None:
        self._states: Remembered[tuple[str, str], tuple[str, str]] = Remembered(STATES_KEPT)

    def state(self, decision: Decision, facts: Facts) -> bytes:
        """The state of a visitor of whom this was decided."""
        key = (decision.digest, facts.country)
        known = self._states.get(key)
        if known is None:
            before, _, after = to_json({**state(decision, facts), "consent": 0}).partition(_ELSEWHERE)
            known = self._states.keep(key, (before, after))
        said = to_json(consent_told(decision, facts.consent))
        return f'{known[0]}"consent":{said}{known[1]}'.encode()
