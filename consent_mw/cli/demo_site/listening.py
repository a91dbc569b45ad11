"""What the servers of the demonstration have in common: loopback, a thread of their own, and how their pages look.

Rule: whatever a request is, it gets an answer, and nothing is printed.
Rule: pages load nothing from elsewhere.
"""

from __future__ import annotations

import http.server
import threading
from collections.abc import Sequence
from html import escape
from http import HTTPStatus
from typing import Any

MAX_BODY = 1_048_576

STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --line: #d8dee6; --ground: #f6f8fa; --card: #fff;
  --mark: #0b6b57; --no: #b3261e }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ecf1; --soft: #9aa6b5; --line: #333d4a; --ground: #12171d;
  --card: #1a212a; --mark: #5ad1b4; --no: #f2897f } }
* { box-sizing: border-box }
body { margin: 0; padding: 2rem clamp(1rem, 4vw, 4rem); font: 16px/1.55 system-ui, sans-serif; color: var(--ink);
  background: var(--ground) }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .4rem } h2 { font-size: 1.1rem; margin: 1.8rem 0 .5rem }
p { max-width: 46rem } a { color: var(--mark) } small, .soft { color: var(--soft) }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1rem 1.2rem;
  margin: 1rem 0; overflow-x: auto }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .5rem .8rem; border-bottom: 1px solid var(--line);
  min-width: 7.5rem }
tbody th { font-weight: 600; color: var(--soft); min-width: 9rem } td small, th small { display: block; font-weight: 400 }
tr:last-child > * { border-bottom: 0 }
ul { margin: 0; padding: 0; list-style: none } li { margin: 0 0 .35rem }
code { font: .88em ui-monospace, monospace; overflow-wrap: anywhere }
fieldset { border: 0; margin: 0 0 .8rem; padding: 0; display: grid; gap: .35rem 1.5rem;
  grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)) } legend { padding: 0 0 .4rem; font-weight: 600 }
label { display: block } label small { display: block; padding-left: 1.6rem }
button { font: inherit; padding: .5rem 1.1rem; border-radius: 8px; border: 1px solid var(--mark);
  background: var(--mark); color: var(--card); cursor: pointer }
input:not([type=checkbox]):not([type=radio]) { font: inherit; padding: .45rem .6rem; border: 1px solid var(--line);
  border-radius: 8px; margin-right: .5rem; background: var(--ground); color: inherit }
.yes { color: var(--mark) } .no { color: var(--no) }
"""


def page(title: str, body: str, *, head: str = "") -> bytes:
    """A whole page of the demonstration; `title` is text, the rest is markup."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,"><style>{STYLE}</style>{head}</head>'
        f"<body><main>{body}</main></body></html>"
    ).encode()


class Server(http.server.ThreadingHTTPServer):
    """A server on loopback; `port` 0 takes a free one. Raises OSError where the port cannot be taken."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, handler: type[http.server.BaseHTTPRequestHandler], port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), handler)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.1,), daemon=True)

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
    """How the servers of the demonstration answer."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    timeout = 60

    @property
    def plain_path(self) -> str:
        """The path without its query."""
        return self.path.partition("?")[0]

    def answer(
        self,
        body: bytes,
        *,
        status: int = 200,
        media: str = "text/html; charset=utf-8",
        headers: Sequence[tuple[str, str]] = (),
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
        """The request's body, as far as a demonstration reads."""
        length = self.headers.get("Content-Length", "")
        return self.rfile.read(min(int(length), MAX_BODY)) if length.isascii() and length.isdigit() else b""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class names it so
        """Say nothing."""
