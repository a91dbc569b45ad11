"""What the middleware costs: the same bare app, without and with it, in slices that alternate within one process.

Run: `make bench`. Prints CPU per request (user and system) of this process, and the ratio of each pair's medians.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from consent_mw import ConsentMiddleware
from consent_mw.wire.token import Keyring

ROUNDS = 9
REQUESTS = 2000
KEY = "a key of the benchmark, long enough"
POLICY = """
schema = 1
revision = "1"
[site]
name = "Bench"
origin = "https://example.com"
policy_url = "/privacy"
[client_address]
trusted = ["127.0.0.0/8"]
[purpose.essential]
text = "Work."
essential = true
[purpose.analytics]
text = "Count."
[jurisdiction.eea_uk]
regions = ["EEA", "GB"]
regime = "opt-in"
[jurisdiction.elsewhere]
regions = ["*"]
regime = "opt-out"
banner = "none"
[identifier]
cookie = "__Host-vid"
purpose = "analytics"
lasts = "395d"
[[cookie]]
name = "session"
purpose = "essential"
[[cookie]]
name = "_ga*"
purpose = "analytics"
"""
PAGE = [(b"content-type", b"text/html"), (b"set-cookie", b"session=1; Path=/"), (b"set-cookie", b"_ga=1; Path=/")]
STYLE = [(b"content-type", b"text/css")]
COMMON = [
    (b"host", b"example.com"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    (b"accept-language", b"en"),
    (b"accept-encoding", b"gzip"),
    (b"connection", b"keep-alive"),
    (b"upgrade-insecure-requests", b"1"),
    (b"sec-fetch-mode", b"navigate"),
    (b"sec-fetch-site", b"none"),
    (b"sec-fetch-user", b"?1"),
    (b"priority", b"u=0, i"),
    (b"te", b"trailers"),
]

App = Callable[[Any, Any, Any], Awaitable[None]]


def bare(headers: list[tuple[bytes, bytes]]) -> App:
    """An app that answers at once."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"x" * 2048})

    return app


def scope_of(document: bool, place: bytes, cookies: bytes) -> dict[str, Any]:
    """The scope of one request."""
    headers = [*COMMON, (b"x-forwarded-for", place), (b"sec-fetch-dest", b"document" if document else b"style")]
    headers += [(b"accept", b"text/html")] if document else [(b"accept", b"text/css")]
    headers += [(b"cookie", cookies)] if cookies else []
    return {
        "type": "http", "method": "GET", "path": "/", "raw_path": b"/", "query_string": b"", "scheme": "https",
        "headers": headers, "client": ("127.0.0.1", 1), "http_version": "1.1",
    }  # fmt: skip


async def cost(app: App, scope: dict[str, Any]) -> float:
    """CPU microseconds per request."""

    async def send(message: Any) -> None:
        return

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    began = time.process_time()
    for _ in range(REQUESTS):
        await app(dict(scope), receive, send)
    return (time.process_time() - began) / REQUESTS * 1e6


async def main() -> None:
    """Measure every case in pairs and print the table."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "policy.toml"
        file.write_text(POLICY)
        token = Keyring([KEY]).sign_identifier(bytes(16), int(time.time()) // 86_400).encode()
        held = b"session=1; _ga=2; theme=dark; __Host-vid=" + token
        cases = {
            "subresource": (STYLE, scope_of(False, b"74.125.224.72", held)),
            "returning visitor's page": (PAGE, scope_of(True, b"74.125.224.72", held)),
            "new visitor's page": (PAGE, scope_of(True, b"74.125.224.72", b"")),
            "opt-in page without an answer": (PAGE, scope_of(True, b"85.214.132.117", b"session=1")),
        }
        print(f"{'case':32} {'bare µs':>9} {'with µs':>9} {'added µs':>9} {'ratio':>6}")
        for name, (headers, scope) in cases.items():
            app = bare(headers)
            wrapped = ConsentMiddleware(app, policy=file, keys=[KEY], store=f"sqlite:///{folder}/{len(name)}.db")
            await wrapped.gate.start()
            pairs = [(await cost(app, scope), await cost(wrapped, scope)) for _ in range(ROUNDS)]
            await wrapped.gate.stop(0)
            without, with_it = (statistics.median(one) for one in zip(*pairs, strict=True))
            print(f"{name:32} {without:9.2f} {with_it:9.2f} {with_it - without:9.2f} {with_it / without:6.1f}")


if __name__ == "__main__":
    asyncio.run(main())
