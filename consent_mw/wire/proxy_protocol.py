"""The PROXY protocol: what a load balancer says of a connection, before its first byte.

Rule: it is read only from peers that are named for it, and from them it must come.
Source: HAProxy's PROXY protocol, versions 1 and 2 (proxy-protocol.txt).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

LONGEST_V1: Final = 107
LONGEST_V2: Final = 16 + 2048
"""Octets; a version 2 header may say more of a connection than anybody needs."""

_SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_V1: Final = re.compile(
    rb"PROXY (?:UNKNOWN(?: [\x20-\x7e]*)?|(TCP4|TCP6) ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+) ([0-9]{1,5}) ([0-9]{1,5}))"
)


@dataclass(frozen=True, slots=True)
class Proxied:
    """What the header says: the client's address, or empty where it speaks for the balancer itself; and its size."""

    address: str
    size: int


def read_proxy_header(data: bytes) -> Proxied | None:
    """The header at the beginning of these bytes; None while it is not whole. Raises ValueError for what is none."""
    if data.startswith(_SIGNATURE):
        return _read_v2(data)
    if data.startswith(b"PROXY "):
        return _read_v1(data)
    if _SIGNATURE.startswith(data) or b"PROXY ".startswith(data):
        return None
    raise ValueError("a header of the PROXY protocol must come first")


def _read_v1(data: bytes) -> Proxied | None:
    end = data.find(b"\r\n", 0, LONGEST_V1)
    if end < 0:
        if len(data) >= LONGEST_V1:
            raise ValueError("the header of the PROXY protocol is too long")
        return None
    found = _V1.fullmatch(data[:end])
    if found is None:
        raise ValueError("the header of the PROXY protocol is malformed")
    if found[1] is None:
        return Proxied("", end + 2)
    try:
        address = ipaddress.ip_address(found[2].decode("ascii"))
    except ValueError:
        raise ValueError("the header of the PROXY protocol is malformed") from None
    if address.version != (4 if found[1] == b"TCP4" else 6):
        raise ValueError("the header of the PROXY protocol is malformed")
    return Proxied(str(address), end + 2)


def _read_v2(data: bytes) -> Proxied | None:
    if len(data) < 16:
        return None
    version, command = data[12] >> 4, data[12] & 0x0F
    size = 16 + int.from_bytes(data[14:16])
    if version != 2 or command > 1 or size > LONGEST_V2:
        raise ValueError("the header of the PROXY protocol is malformed")
    if len(data) < size:
        return None
    family, transport = data[13] >> 4, data[13] & 0x0F
    if command == 0 or family not in (1, 2) or transport != 1:
        # LOCAL is the balancer's own health check; other families have no address of ours.
        return Proxied("", size)
    length = 4 if family == 1 else 16
    if size < 16 + 2 * length + 4:
        raise ValueError("the header of the PROXY protocol is malformed")
    return Proxied(str(ipaddress.ip_address(data[16 : 16 + length])), size)
