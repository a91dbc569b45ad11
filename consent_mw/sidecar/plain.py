"""Plain answers: one sentence of ours, where there is no other answer to give.

Rule: nobody keeps one (`no-store`), and one that refuses a method says which are taken (RFC 9110 15.5.6).
"""

from __future__ import annotations

from typing import Final

from consent_mw.wire.fields import Fields, response_field
from consent_mw.wire.request_head import Refusal

METHODS: Final = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"


def plain(sentence: str, *more: tuple[bytes, bytes]) -> tuple[Fields, bytes]:
    """The fields of an answer that is this sentence, with more of them, and its body."""
    text = sentence.encode() + b"\n"
    said = [(b"Content-Type", b"text/plain; charset=utf-8"), (b"Content-Length", b"%d" % len(text))]
    return [response_field(*pair) for pair in (*said, (b"Cache-Control", b"no-store"), *more)], text


def refusing(refusal: Refusal, *more: tuple[bytes, bytes]) -> tuple[Fields, bytes]:
    """The fields and the body of the answer to a request that is refused."""
    allowed = [(b"Allow", METHODS)] if refusal.status == 405 else []
    return plain(refusal.sentence, *allowed, *more)
