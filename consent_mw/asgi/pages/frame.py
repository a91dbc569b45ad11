"""What a frame shows whose own content is held back: which purposes it needs, and a button that allows them.

Rule: it asks for these purposes and for nothing else; every other answer is kept.
"""

from __future__ import annotations

from collections.abc import Sequence

from consent_mw.asgi.pages.markup import el, link
from consent_mw.asgi.pages.shell import View, stylesheets


def frame_page(view: View, purposes: Sequence[str], path: str) -> bytes:
    """The page of such a frame on the page at this path, in ASCII; empty where the policy knows none of them."""
    words = view.words
    known = [one.name for one in view.policy.optional_purposes if one.name in purposes]
    if not known:
        return b""
    form = el(
        "form",
        el("p", words.say("frame.text", purpose=words.labels(known))),
        *(el("input", type="hidden", name="purpose", value=one) for one in known),
        el("input", type="hidden", name="keep", value="1"),
        el("input", type="hidden", name="return", value=path),
        el("button", words.say("frame.allow"), type="submit"),
        " ",
        link(view.address("policy"), words.say("nav.policy"), target="_top"),
        method="post",
        action=f"{view.prefix}/choice",
        target="_top",
    )
    head = el("head", el("meta", name="robots", content="noindex"), stylesheets(view, whole=True))
    page = el("html", head, el("body", form, class_="cmw-page cmw-frame"), lang=words.language, dir=words.direction)
    return f"<!doctype html>{page}".encode("ascii", "xmlcharrefreplace")
