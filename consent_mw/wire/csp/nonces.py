"""The nonces of a page: those that markup of ours carries, and a policy read as if they were always the same.

Rule: a nonce goes out as it came, and only where it came from, or on our own tags.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_NONCE = re.compile(rb"(?<='nonce-)[A-Za-z0-9+/_-]+={0,2}(?=')", re.IGNORECASE)
_STANDS_FOR = b"consent-mw-nonce-%d"
_HIDDEN = re.compile(rb"(?<='nonce-)consent-mw-nonce-([0-9]{1,9})(?=')", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Nonces:
    """The nonces by which a page lets scripts and styles in; empty where it has none."""

    script: str = ""
    style: str = ""


NO_NONCES = Nonces()


def carrying(markup: bytes, nonces: Nonces) -> bytes:
    """Markup of ours whose styles and scripts carry these nonces; text in it is escaped, so that a tag is one."""
    if nonces.style:
        markup = markup.replace(b"<link ", b'<link nonce="%b" ' % nonces.style.encode())
    if nonces.script:
        markup = markup.replace(b"<script ", b'<script nonce="%b" ' % nonces.script.encode())
    return markup


def hide(field: bytes, nonces: list[bytes]) -> bytes:
    """The field with each nonce told by its number among these, to which new ones are added."""
    if b"'" not in field:
        return field

    def number(found: re.Match[bytes]) -> bytes:
        if found[0] not in nonces:
            nonces.append(found[0])
        return _STANDS_FOR % nonces.index(found[0])

    return _NONCE.sub(number, field)


def reveal(field: bytes, nonces: Sequence[bytes]) -> bytes:
    """The field with the nonces that these numbers stand for."""

    def nonce(found: re.Match[bytes]) -> bytes:
        number = int(found[1])
        return nonces[number] if number < len(nonces) else found[0]

    return _HIDDEN.sub(nonce, field) if nonces else field
