"""The answers that the data plane gives by itself: a status, its reason phrase, and one sentence."""

from __future__ import annotations

REASONS = {
    400: b"Bad Request", 404: b"Not Found", 405: b"Method Not Allowed", 408: b"Request Timeout",
    413: b"Content Too Large", 414: b"URI Too Long", 417: b"Expectation Failed",
    431: b"Request Header Fields Too Large", 500: b"Internal Server Error", 501: b"Not Implemented",
    502: b"Bad Gateway", 503: b"Service Unavailable", 504: b"Gateway Timeout", 508: b"Loop Detected",
}  # fmt: skip


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
