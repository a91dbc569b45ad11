"""The site of the demonstration: pages, a login of its own, an analytics script, and cookies as sites set them.

Rule: it knows nothing of consent; it sets every cookie on every page, whoever asks.
Rule: it remembers what reached it and what it set, by path, until that is taken; every visit has paths of its own.
"""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass
from html import escape
from urllib.parse import parse_qs

from consent_mw.cli.demo_site.listening import Answers, Server, page

KEPT = 10_000
"""Paths that are remembered at once."""

PAGES = {"/": "Letters", "/pricing": "Prices", "/account": "Your account"}

COOKIES = (
    "csrf_token=c1; Path=/; HttpOnly",
    "_ga=GA1.1.42; Path=/; Max-Age=63072000",
    "mxm_xs=x1; Path=/; Max-Age=31536000",
    "mystery=1; Path=/",
)
"""One that the site needs, one that counts, one that follows, and one that nobody listed."""

SCRIPT = b"""// An analytics script as sites have them. It reads what it can of the browser, and sends it home, where the answer
// sets one more cookie.
const seen = { screen: screen.width + "x" + screen.height, languages: navigator.languages, agent: navigator.userAgent };
fetch("/collect", { method: "POST", body: JSON.stringify(seen) });
"""


@dataclass(frozen=True, slots=True)
class Reached:
    """One request as the site saw it: the names of the cookies that it came with, and of those that it set."""

    cookies: tuple[str, ...] = ()
    set: tuple[str, ...] = ()


class Shop(Server):
    """The site."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reached: dict[str, Reached] = {}
        super().__init__(ShopPages)

    def remember(self, path: str, reached: Reached) -> None:
        """Keep what reached this path, until it is taken or there is too much."""
        with self._lock:
            self._reached[path] = reached
            if len(self._reached) > KEPT:
                self._reached.pop(next(iter(self._reached)))

    def take(self, path: str) -> Reached | None:
        """What reached this path last, once."""
        with self._lock:
            return self._reached.pop(path, None)


class ShopPages(Answers):
    """Its pages: three, and one for each letter."""

    server: Shop

    def do_GET(self) -> None:
        """The pages and the script."""
        path = self.plain_path
        if path == "/analytics.js":
            self.answer(SCRIPT, media="text/javascript; charset=utf-8")
        elif path in PAGES or path.startswith("/letters/"):
            self._remember(COOKIES)
            cookies = [("Set-Cookie", line) for line in COOKIES]
            self.answer(self._page(PAGES.get(path, "A letter")), headers=cookies)
        else:
            self.answer(page("Not here", "<h1>There is no such page</h1>"), status=404)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        """The login, and what the analytics script sends home."""
        said = parse_qs(self.read_body().decode("utf-8", "replace"))
        if self.plain_path == "/collect":
            self.answer(b"", status=204, headers=[("Set-Cookie", "ajs_anonymous_id=a1; Path=/; Max-Age=63072000")])
            return
        if not self.plain_path.endswith("/login"):
            self.answer(page("Not here", "<h1>Nothing is sent here</h1>"), status=404)
            return
        name = "".join(one for one in said.get("name", ["Ann"])[0] if one.isascii() and one.isalpha())[:40] or "Ann"
        cookies = (f"mixmax_session={secrets.token_hex(8)}; Path=/; HttpOnly",)
        self._remember(cookies)
        headers = [("Set-Cookie", line) for line in cookies]
        headers.append(("Consent-Identify", f'user_id="u-{name}", name="{name}", email="{name.lower()}@example.com"'))
        headers += [("Consent-Event", "login"), ("Location", "/account")]
        self.answer(b"", status=303, headers=headers)

    def _remember(self, lines: tuple[str, ...]) -> None:
        reached = Reached(tuple(self._held()), tuple(_name(line) for line in lines))
        self.server.remember(self.plain_path, reached)

    def _held(self) -> list[str]:
        return [_name(one) for one in self.headers.get("Cookie", "").split(";") if one.strip()]

    def _page(self, title: str) -> bytes:
        allows = self.headers.get("consent-allows") or "nothing"
        body = (
            f"<h1>{title}</h1><p class=soft>A small site that knows nothing of consent: it sets {len(COOKIES)} cookies "
            f"on every page, and loads a script that measures.</p><div class=card>{self._account()}</div>"
            f"<p>What the sidecar told this page: <code>consent-allows: {escape(allows)}</code></p>"
            '<p><a href="/">Home</a> · <a href="/pricing">Prices</a> · <a href="/account">Account</a> · '
            '<a href="/_consent/preferences">Your privacy choices</a> · <a href="/_consent/policy">Cookies</a></p>'
        )
        return page(f"{title} - the little shop", body, head='<script src="/analytics.js" defer></script>')

    def _account(self) -> str:
        if "mixmax_session" in self._held():
            return "You are signed in."
        return (
            '<form method="post" action="/login"><input name="name" aria-label="Your name" placeholder="Your name">'
            "<button>Sign in</button></form>"
        )


def _name(line: str) -> str:
    return line.partition("=")[0].strip()
