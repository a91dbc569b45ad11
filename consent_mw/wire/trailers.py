"""Trailers: fields after a body in chunks, as far as they may be passed on.

Rule: a field that says how a message is framed, routed, authenticated, decided about or processed is none after it
(RFC 9110 6.5.1); it is dropped.
"""

from __future__ import annotations

from typing import Final

from consent_mw.wire.fields import CHANGED, Fields, Read

_NEVER: Final = frozenset(
    {
        b"accept", b"authorization", b"clear-site-data", b"content-encoding", b"content-location",
        b"content-range", b"content-security-policy", b"content-type", b"date", b"dnt", b"expect", b"host",
        b"link", b"location", b"max-forwards", b"origin", b"pragma", b"priority", b"referer", b"refresh",
        b"retry-after", b"sec-gpc",
        b"strict-transport-security", b"tk", b"user-agent", b"warning", b"www-authenticate",
        b"access-control-allow-origin", b"access-control-allow-credentials", b"content-length",
    }
)  # fmt: skip


def passable(read: Read | None) -> Fields:
    """Those of these trailers that may be passed on."""
    return [
        field
        for field in (read[0] if read is not None else ())
        if field[3] < CHANGED and field[0] not in _NEVER and not field[0].startswith((b"consent", b"if-", b"sec-"))
    ]


def last_chunk(fields: Fields) -> bytes:
    """The end of a body in chunks, with these trailers."""
    return b"\r\n".join([b"0", *(field[2] for field in fields), b"", b""])
