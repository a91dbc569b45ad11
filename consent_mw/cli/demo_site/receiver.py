"""The analytics endpoint of the demonstration: takes events as a vendor does, and shows them live.

Rule: an event is counted once, however often it is delivered.
Rule: what arrived is told by names of fields; only the newest events are kept whole, to be shown.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from dataclasses import dataclass
from typing import Any

from consent_mw.cli.demo_site.listening import Answers, Server, page

SHOWN = 60
"""Events that the page shows."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """One event that came: its name, the page it happened on, and the names of its fields."""

    name: str
    path: str
    fields: frozenset[str]


class Receiver(Server):
    """The endpoint; `arrived` has one element for each event that ever came."""

    def __init__(self, port: int = 0) -> None:
        self._lock = threading.Lock()
        self._ids: set[str] = set()
        self._arrived: list[Arrived] = []
        self._newest: deque[dict[str, Any]] = deque(maxlen=SHOWN)
        self._field_sets: dict[frozenset[str], frozenset[str]] = {}
        super().__init__(ReceiverPages, port)

    def take(self, event: object) -> bool:
        """Take a CloudEvent; whether it is one."""
        if not isinstance(event, dict) or not isinstance(event.get("data"), dict):
            return False
        data = event["data"]
        names = frozenset(str(name) for name in data)
        with self._lock:
            if str(event.get("id")) in self._ids:
                return True
            self._ids.add(str(event.get("id")))
            fields = self._field_sets.setdefault(names, names)
            self._arrived.append(Arrived(str(data.get("event", "")), str(data.get("page_path", "")), fields))
            self._newest.append(data)
        return True

    def arrived(self) -> list[Arrived]:
        """Everything that came, oldest first."""
        with self._lock:
            return list(self._arrived)

    def newest(self) -> list[dict[str, Any]]:
        """The data of the newest events, oldest first."""
        with self._lock:
            return list(self._newest)

    @property
    def total(self) -> int:
        """How many events came."""
        with self._lock:
            return len(self._arrived)


class ReceiverPages(Answers):
    """Takes events, and shows them."""

    server: Receiver

    def do_POST(self) -> None:
        """Take an event."""
        try:
            event = json.loads(self.read_body())
        except (ValueError, RecursionError):
            event = None
        self.answer(b"", status=204 if self.server.take(event) else 400)

    def do_GET(self) -> None:
        """The page, and what it asks for."""
        if self.plain_path == "/live":
            told = {"total": self.server.total, "events": self.server.newest()[::-1]}
            self.answer(json.dumps(told).encode(), media="application/json", headers=[("Cache-Control", "no-store")])
        else:
            self.answer(page("What reached the vendor", LIVE))


LIVE = """<h1>What reached the analytics vendor</h1>
<p class=soft>One row for each event, as it came over the network, newest first. What is not in its row never left.</p>
<p><b id=total aria-live=polite>0</b> events so far</p>
<div class=card><table><thead><tr id=head></tr></thead><tbody id=rows></tbody></table></div>
<script>
const first = ["time", "event", "page_path", "visitor_id", "ip", "browser", "country", "region", "city", "name", "email"];
const short = (name, value) => value === undefined ? "" : name === "time" ? new Date(value * 1000).toLocaleTimeString()
  : name === "visitor_id" ? String(value).slice(0, 10) + "…" : String(value);
function row(tag, texts) {
  return texts.map(text => { const cell = document.createElement(tag); cell.textContent = text; return cell; });
}
async function show() {
  const told = await (await fetch("/live")).json();
  const there = new Set(told.events.flatMap(Object.keys));
  const names = [...first.filter(name => there.has(name)), ...[...there].filter(name => !first.includes(name)).sort()];
  document.getElementById("total").textContent = told.total;
  document.getElementById("head").replaceChildren(...row("th", names));
  document.getElementById("rows").replaceChildren(...told.events.map(event => {
    const line = document.createElement("tr");
    line.append(...row("td", names.map(name => short(name, event[name]))));
    return line;
  }));
}
show(); setInterval(() => show().catch(() => {}), 1000);
</script>"""
