"""The answers that the data plane gives by itself: a status, its reason phrase, and one sentence."""

from __future__ import annotations

from http import HTTPStatus

REASONS = {status.value: status.phrase.encode() for status in HTTPStatus} | {413: b"Content Too Large"}
"""The reason phrase of every registered status (RFC 9110 15)."""


def plain_answer(status: int, sentence: str) -> bytes:
    """A whole answer of one sentence, after which the connection closes."""
    body = (sentence + "\n").encode()
    reason = REASONS.get(status, b"Error")
    head = b"HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n" % (
        status,
        reason,
        len(body),
    )
    return head + b"Cache-Control: no-store\r\nConnection: close\r\n\r\n" + body
