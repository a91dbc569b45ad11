"""The banner for pages that are the same for everybody: a small document that our script puts into them.

Rule: it says what is allowed, also where no banner is due.
"""

from __future__ import annotations

from urllib.parse import quote

from consent_mw.asgi.pages.banner import banner_section
from consent_mw.asgi.pages.markup import Markup, el
from consent_mw.asgi.pages.shell import View, allowed_by, stylesheets
from consent_mw.core.decision import Decision


def fragment_page(view: View, decision: Decision, return_to: str) -> bytes:
    """The fragment for the page at this path: `#cmw-banner` where one is due, and what is allowed."""
    due = decision.ask or decision.notice
    section = banner_section(view, decision, return_to, quote(return_to, safe="/")) if due else Markup()
    head = el("head", el("meta", charset="utf-8"), stylesheets(view))
    body = el("body", section, data_allows=allowed_by(decision))
    return f"<!doctype html>\n{el('html', head, body, lang=view.words.language)}\n".encode()
