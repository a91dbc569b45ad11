"""What a state-changing request must be before it is heard: small enough, of a known type, from this site.

Rule: the order is size (413), type (415), origin (403), so that the answer never depends on what was not read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request

BODY_LIMIT = 16_384
"""Bytes that a choice may take; the largest honest one is a few hundred."""

MOST_DIGITS = 19
"""Digits of a Content-Length beyond which it is too large, whatever it says."""

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


class RefusedRequest(Exception):  # noqa: N818  it is an answer, not an error of ours
    """A request that is not heard: the status and the sentence that it gets."""

    def __init__(self, status: int, sentence: str) -> None:
        self.status = status
        self.sentence = sentence
        super().__init__(sentence)


@dataclass(frozen=True, slots=True)
class Posted:
    """A request that passed the guard: its media type (empty without a body) and its raw body."""

    media: str
    body: bytes

    @property
    def form(self) -> bool:
        """Whether a plain form was sent, which wants a page back."""
        return self.media == FORM

    def pairs(self) -> list[tuple[str, str]]:
        """The fields of a form, in order."""
        text = self.body.decode("utf-8", "replace")
        try:
            return parse_qsl(text, keep_blank_values=True, max_num_fields=200)
        except ValueError as error:
            raise RefusedRequest(400, "the form has too many fields") from error

    def value(self) -> object:
        """The JSON value that was sent; RefusedRequest (400) where it is none."""
        try:
            value: object = _DECODER.decode(self.body.decode(json.detect_encoding(self.body), "surrogatepass"))
        except (ValueError, RecursionError) as error:
            raise RefusedRequest(400, "the body is not JSON") from error
        return value

    def document(self) -> Mapping[str, object]:
        """The JSON object that was sent; RefusedRequest (400) where it is none."""
        value = self.value()
        if not isinstance(value, dict):
            raise RefusedRequest(400, "the body must be a JSON object")
        return value


async def heard(
    request: Request, *, types: frozenset[str], limit: int = BODY_LIMIT, empty: bool = False, silent: bool = False
) -> Posted:
    """What was posted, once it passed the guard. `empty` lets a request without body and type pass, `silent` one that
    does not say where it comes from."""
    body = await _read(request, limit)
    media = _said(request, b"content-type").partition(";")[0].strip().lower()
    if media not in types and not (empty and not body and not media):
        raise RefusedRequest(415, f"send one of: {', '.join(sorted(types))}")
    quiet = silent and not (_said(request, b"sec-fetch-site") or _said(request, b"origin", "null") != "null")
    if not quiet and not same_origin(request, form=media == FORM):
        raise RefusedRequest(403, "this must be sent from a page of this site")
    return Posted(media, body)


def same_origin(request: Request, *, form: bool) -> bool:
    """Whether the browser says that a page of this site sent this (Fetch Metadata; else Origin against Host)."""
    site = _said(request, b"sec-fetch-site").lower()
    if site:
        return site == "same-origin" or (site == "none" and form)
    origin = request.headers.get("origin", "")
    scheme, separator, host = origin.partition("://")
    hosts = request.headers.getlist("host")
    return bool(separator) and scheme in ("http", "https") and len(hosts) == 1 and host.lower() == hosts[0].lower()


def same_site_path(wanted: str, fallback: str) -> str:
    """The path to return to; whatever could lead off the site becomes the fallback."""
    plain = all("\x20" < char < "\x7f" for char in wanted) and "\\" not in wanted
    if len(wanted) <= 2048 and plain and wanted.startswith("/") and not wanted.startswith("//"):
        return wanted
    return fallback


def _said(request: Request, name: bytes, otherwise: str = "") -> str:
    """The first value of this header, of which ASGI says that its name is in lower case."""
    for key, value in request.scope["headers"]:
        if key == name:
            return bytes(value).decode("latin-1")
    return otherwise


def _no_constant(word: str) -> object:
    raise ValueError(f"{word} is not JSON")  # RFC 8259 6


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


async def _read(request: Request, limit: int) -> bytes:
    declared = _said(request, b"content-length")
    # Python reads no number of thousands of digits.
    if declared.isascii() and declared.isdigit() and (len(declared) > MOST_DIGITS or int(declared) > limit):
        raise RefusedRequest(413, f"the body is larger than {limit} bytes")
    body = bytearray()
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > limit:
            raise RefusedRequest(413, f"the body is larger than {limit} bytes")
    return bytes(body)
