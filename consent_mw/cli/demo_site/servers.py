"""Two small real servers: the site that knows nothing of consent, and the analytics endpoint that takes what comes.

Rule: both remember only what the demonstration shows, and only the newest of it.
"""

from __future__ import annotations

import html
import http.server
import json
import secrets
import threading
from collections import deque
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --line: #d8dee6; --ground: #f6f8fa; --card: #fff; --mark: #0b6b57 }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ecf1; --soft: #9aa6b5; --line: #333d4a; --ground: #12171d; --card: #1a212a; --mark: #5ad1b4 } }
* { box-sizing: border-box }
body { margin: 0; padding: 2rem clamp(1rem, 4vw, 4rem); font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--ground) }
h1 { font-size: 1.7rem; margin: 0 0 .3rem } h2 { font-size: 1.1rem; margin: 1.6rem 0 .5rem } p { max-width: 46rem }
a { color: var(--mark) } small, .soft { color: var(--soft) }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1rem 1.2rem; margin: 1rem 0; overflow-x: auto }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; vertical-align: top; padding: .45rem .7rem; border-bottom: 1px solid var(--line) }
th { font-weight: 600 } code { font-size: .9em; overflow-wrap: anywhere }
button, .button { font: inherit; padding: .5rem 1rem; border-radius: 8px; border: 1px solid var(--mark); background: var(--mark); color: var(--card); cursor: pointer }
input { font: inherit; padding: .45rem .6rem; border: 1px solid var(--line); border-radius: 8px; margin-right: .5rem }
.off { color: #b3261e } .on { color: var(--mark) }
"""


def page(title: str, body: str, *, head: str = "") -> bytes:
    """A whole page of the demonstration."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style>{head}</head>'
        f"<body><main>{body}</main></body></html>"
    ).encode()


KEPT = 400_000
"""The most requests and events that are remembered."""


class Server(http.server.ThreadingHTTPServer):
    """A server in a thread of its own."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, handler: type[http.server.BaseHTTPRequestHandler], port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), handler)
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def begin(self) -> None:
        """Serve from now on."""
        self._thread.start()

    def end(self) -> None:
        """Stop serving."""
        self.shutdown()
        self.server_close()
        self._thread.join()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A visitor that leaves early is no error of the demonstration's."""


class Answers(http.server.BaseHTTPRequestHandler):
    """What the servers of the demonstration have in common."""

    protocol_version = "HTTP/1.1"

    def answer(
        self, body: bytes, *, status: int = 200, media: str = "text/html; charset=utf-8", headers: Any = ()
    ) -> None:
        """Send a whole answer."""
        self.send_response(HTTPStatus(status))
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Type", media)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def read_body(self) -> bytes:
        """The request's body."""
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class names it so
        """Say nothing."""


class Shop(Server):
    """The site. Remembers the cookies that reached it, by the address that the sidecar passed on."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.heard: dict[str, dict[str, str]] = {}
        self._log: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}
        super().__init__(ShopPages)

    def log(self, number: str, reached: tuple[str, ...], offered: tuple[str, ...]) -> None:
        """Note which cookies came with the request of this number, and which its answer sets."""
        with self.lock:
            self._log[number] = reached, offered
            while len(self._log) > KEPT:
                self._log.pop(next(iter(self._log)))

    def logged(self, number: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The names of the cookies that came with the request of this number, and of those that its answer set."""
        with self.lock:
            return self._log.get(number, ((), ()))


class ShopPages(Answers):
    """A home page, a login of its own, an analytics script, and three cookies: one it needs, one it counts with, one
    that nobody listed."""

    server: Shop

    def do_GET(self) -> None:
        """The pages."""
        path = self.path.partition("?")[0]
        if path == "/analytics.js":
            self.answer(ANALYTICS, media="text/javascript; charset=utf-8")
        elif path in ("/", "/pricing", "/account") or path.startswith("/guides/"):
            headers = self._cookies()
            self._remember(headers)
            self.answer(self._page(path), headers=headers)
        else:
            self.answer(page("Not here", "<h1>There is no such page</h1>"), status=404)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        """The login."""
        said = parse_qs(self.read_body().decode("utf-8", "replace"))
        name = said.get("name", ["Ann"])[0][:60] or "Ann"
        email = f"{name.lower().replace(' ', '.')}@example.com".encode("ascii", "ignore").decode()
        plain = "".join(one for one in name if one.isascii() and one.isprintable() and one not in '"\\') or "Ann"
        headers = [
            ("Set-Cookie", f"mixmax_session={secrets.token_hex(8)}; Path=/; HttpOnly"),
            ("Consent-Identify", f'user_id="u-{len(plain)}", name="{plain}", email="{email}"'),
            ("Consent-Event", "login"),
            ("Location", "/account"),
        ]
        self._remember(headers)
        self.answer(b"", status=303, headers=headers)

    def _remember(self, headers: list[tuple[str, str]]) -> None:
        cookies = [one.partition("=")[0].strip() for one in self.headers.get("Cookie", "").split(";")]
        offered = tuple(value.partition("=")[0] for name, value in headers if name == "Set-Cookie")
        self.server.log(self.headers.get("X-Demo-Visit", ""), tuple(one for one in cookies if one), offered)
        address = self.headers.get("X-Forwarded-For", "").partition(",")[0].strip()
        told = {name: value for name, value in self.headers.items() if name.lower().startswith("consent-")}
        with self.server.lock:
            self.server.heard[address] = {**told, "cookie": self.headers.get("Cookie", "")}
            while len(self.server.heard) > 20_000:
                self.server.heard.pop(next(iter(self.server.heard)))

    def _cookies(self) -> list[tuple[str, str]]:
        return [
            ("Set-Cookie", "csrf_token=c1; Path=/; HttpOnly"),
            ("Set-Cookie", "_ga=GA1.1.42; Path=/; Max-Age=63072000"),
            ("Set-Cookie", "mystery=1; Path=/"),
        ]

    def _page(self, path: str) -> bytes:
        allows = html.escape(self.headers.get("consent-allows") or "nothing was said")
        who = "mixmax_session" in self.headers.get("Cookie", "")
        form = (
            "<p>You are signed in.</p>"
            if who
            else '<form method="post" action="/login"><input name="name" aria-label="Your name" placeholder="Your name">'
            "<button>Sign in</button></form>"
        )
        body = (
            f"<h1>The little shop</h1><p class=soft>This is {html.escape(path)}. The site knows nothing of consent; it "
            f"sets three cookies on every page and loads a script.</p><div class=card>{form}</div>"
            f"<p>What the sidecar told this page: <code>consent-allows: {allows}</code></p>"
            '<p><a href="/">Home</a> · <a href="/pricing">Pricing</a> · <a href="/account">Account</a> · '
            '<a href="/_consent/preferences">Your privacy choices</a> · <a href="/_consent/policy">Cookie policy</a></p>'
        )
        return page("The little shop", body, head='<script src="/analytics.js" defer></script>')


ANALYTICS = b"""// The site's own analytics script, as sites have them: it asks for consent through the page's API.
if (!window.consent || window.consent.allows("analytics")) document.documentElement.dataset.measured = "yes";
"""


class Receiver(Server):
    """The analytics endpoint. Counts what arrives, and keeps the newest to show."""

    def __init__(self, port: int = 0) -> None:
        self.lock = threading.Lock()
        self.newest: deque[dict[str, Any]] = deque(maxlen=500)
        self._arrived: dict[str, tuple[str, frozenset[str]]] = {}
        super().__init__(ReceiverPages, port)

    def take(self, event: dict[str, Any], data: dict[str, Any]) -> None:
        """Keep an event; one that is delivered again counts once."""
        with self.lock:
            number = str(event.get("id"))
            if number not in self._arrived:
                self.newest.append(event)
            self._arrived[number] = str(data.get("page_path", "")), frozenset(data)
            while len(self._arrived) > KEPT:
                self._arrived.pop(next(iter(self._arrived)))

    def fields_by_event(self) -> dict[str, tuple[str, frozenset[str]]]:
        """For each event that arrived the page that it names, and the names of its fields."""
        with self.lock:
            return dict(self._arrived)

    @property
    def total(self) -> int:
        """How many events arrived."""
        return len(self._arrived)


class ReceiverPages(Answers):
    """Takes events, and shows them live."""

    server: Receiver

    def do_POST(self) -> None:
        """Take an event."""
        try:
            event = json.loads(self.read_body())
            data = dict(event["data"])
        except (ValueError, KeyError, TypeError):
            self.answer(b"", status=400)
            return
        self.server.take(event, data)
        self.answer(b"", status=204)

    def do_GET(self) -> None:
        """The page, and what it asks for."""
        if self.path == "/live":
            with self.server.lock:
                body = json.dumps({"total": self.server.total, "events": list(self.server.newest)[-40:]}).encode()
            self.answer(body, media="application/json", headers=[("Cache-Control", "no-store")])
            return
        self.answer(page("What reached the vendor", LIVE))


LIVE = """<h1>What reached the analytics vendor</h1>
<p class=soft>Every row is one event as it came over the network. A field that is not here never left.</p>
<p><b id=total>0</b> events so far</p><div class=card><table><thead><tr><th>Event</th><th>Fields that left</th></tr></thead>
<tbody id=rows></tbody></table></div>
<script>
async function show() {
  const told = await (await fetch("/live")).json();
  document.getElementById("total").textContent = told.total;
  const rows = document.getElementById("rows");
  rows.replaceChildren(...told.events.reverse().map(event => {
    const row = document.createElement("tr");
    for (const text of [event.data.event || event.type, Object.entries(event.data).map(p => p.join(": ")).join("\\n")]) {
      const cell = document.createElement("td"); cell.style.whiteSpace = "pre-line"; cell.textContent = text; row.append(cell);
    }
    return row;
  }));
}
show(); setInterval(show, 1000);
</script>"""
