"""The client's address: whom to believe, and what the header of a believed peer says.

Rule: an untrusted peer's headers say nothing; the peer is the client.
Rule: from the right, over trusted hops, to the first that is not; what cannot be read is never skipped.
Source: RFC 7239 (Forwarded), RFC 4291 2.5.5.2 (mapped), RFC 3056 (6to4), RFC 4380 (Teredo), RFC 6052 (NAT64).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from consent_mw.wire.headers import values

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PAIR = re.compile(
    rb"[ \t]*(" + _TOKEN + rb")=(?:(" + _TOKEN + rb')|"((?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\.)*)")[ \t]*'
)
_WITH_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::(?:[0-9]{1,5}|_[A-Za-z0-9._-]+))?")


@dataclass(frozen=True, slots=True)
class ClientAddress:
    """Where a request comes from. `address` is None where there is none to see (a unix socket) or none that can be
    read; `readable` is False only for the latter."""

    address: IpAddress | None
    readable: bool = True


@dataclass(frozen=True, slots=True)
class Trust:
    """Which peers are believed, and which of their headers. Raises ValueError for a network that is none."""

    networks: tuple[str, ...] = ()
    header: str = "x-forwarded-for"
    _parsed: tuple[IpNetwork, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        parsed = tuple(ipaddress.ip_network(one, strict=False) for one in self.networks)
        object.__setattr__(self, "_parsed", parsed)

    def __bool__(self) -> bool:
        return bool(self._parsed)

    def __contains__(self, address: object) -> bool:
        if not isinstance(address, (ipaddress.IPv4Address, ipaddress.IPv6Address)):
            return False
        return any(address in network for network in self._parsed if network.version == address.version)


def client_address(headers: Sequence[tuple[bytes, bytes]], peer: str, trust: Trust) -> ClientAddress:
    """The client of this request. An empty `peer` (a unix socket) is believed if anybody is."""
    direct = read_address(peer)
    if peer and direct is None:
        return ClientAddress(None, readable=False)
    if direct is not None and direct not in trust:
        return ClientAddress(direct)
    if not trust:
        return ClientAddress(direct)
    said = values(headers, trust.header.encode())
    if not said:
        return ClientAddress(direct)
    return _walk(_hops(said, trust.header), trust, direct)


def read_address(text: str) -> IpAddress | None:
    """The address that this text is, unmapped; a zone and an IPv4 address' port are cut off; else None."""
    try:
        return unmap(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return None


def unmap(address: IpAddress) -> IpAddress:
    """The IPv4 address that an IPv6 one stands for (mapped, 6to4, Teredo, NAT64); else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def truncate(text: str) -> str:
    """The address with the last octet of IPv4, or the last 80 bits of IPv6, set to zero; empty if it is none."""
    address = read_address(text)
    if address is None:
        return ""
    kept = 24 if address.version == 4 else 48
    return str(ipaddress.ip_network((address, kept), strict=False).network_address)


def _walk(hops: Sequence[IpAddress | None], trust: Trust, direct: IpAddress | None) -> ClientAddress:
    last = direct
    for hop in reversed(hops):
        if hop is None:
            return ClientAddress(None, readable=False)
        last = hop
        if hop not in trust:
            return ClientAddress(hop)
    return ClientAddress(last)


def _hops(said: Sequence[bytes], header: str) -> list[IpAddress | None]:
    """The addresses that the header names, left to right; None where one cannot be read."""
    if header == "forwarded":
        return _forwarded(b",".join(said))
    if header == "x-forwarded-for":
        return [_hop(one.strip().decode("latin-1")) for one in b",".join(said).split(b",")]
    # A CDN's own header holds one address; several fields are somebody else's.
    return [_hop(said[0].strip().decode("latin-1")) if len(said) == 1 else None]


def _hop(text: str) -> IpAddress | None:
    plain = read_address(text)
    if plain is not None:
        return plain
    found = _WITH_PORT.fullmatch(text)
    return read_address(found[1] or found[2]) if found else None


def _forwarded(field_value: bytes) -> list[IpAddress | None]:
    """The `for` of each element (RFC 7239 4); an element that is not well-formed, or names none, cannot be read."""
    hops: list[IpAddress | None] = []
    position, said, broken = 0, dict[bytes, bytes](), False
    while position <= len(field_value):
        found = _PAIR.match(field_value, position)
        if found is not None:
            name = found[1].lower()
            broken = broken or name in said
            said[name] = found[2] if found[2] is not None else re.sub(rb"\\(.)", rb"\1", found[3])
            position = found.end()
        next_char = field_value[position : position + 1]
        if next_char in (b",", b""):
            hops.append(None if broken else _hop_of(said.get(b"for", b"")))
            said, broken = {}, False
        elif next_char != b";":
            broken = True
            if found is None and next_char not in (b" ", b"\t"):
                position = _next_comma(field_value, position) - 1
        position += 1
    return hops


def _next_comma(field_value: bytes, position: int) -> int:
    comma = field_value.find(b",", position)
    return len(field_value) if comma < 0 else comma


def _hop_of(node: bytes) -> IpAddress | None:
    return _hop(node.decode("latin-1"))
