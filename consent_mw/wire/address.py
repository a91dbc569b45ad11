"""The client's address: whom to believe, and what the header of a believed peer says.

Rule: an untrusted peer's headers say nothing; the peer is the client.
Rule: from the right, over trusted hops, to the first that is not; what cannot be read is never skipped.
Source: RFC 7239 (Forwarded), RFC 4291 2.5.5.2 (mapped), RFC 3056 (6to4), RFC 4380 (Teredo), RFC 6052 (NAT64).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from consent_mw.wire.headers import values

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_IPV4 = re.compile(r"\.".join([r"(0|[1-9][0-9]{0,2})"] * 4))
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_BLANKS = re.compile(rb"[ \t]*")
_PAIR = re.compile(rb"(" + _TOKEN + rb")=(?:(" + _TOKEN + rb')|"((?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\.)*)")')
_WITH_PORT = re.compile(
    r"(?:\[([0-9A-Fa-f]*:[0-9A-Fa-f:.]*(?:%[A-Za-z0-9._~-]+)?)\]|([0-9.]+))(?::(?:[0-9]{1,5}|_[A-Za-z0-9._-]+))?"
)


@dataclass(frozen=True, slots=True)
class ClientAddress:
    """Where a request comes from. `address` is None where there is none to see (a unix socket) or none that can be
    read; `readable` is False only for the latter."""

    address: IpAddress | None
    readable: bool = True


_UNREADABLE = ClientAddress(None, readable=False)


@dataclass(frozen=True, slots=True)
class Trust:
    """Which peers are believed, and which of their headers. Raises ValueError for a network that is none."""

    networks: tuple[str, ...] = ()
    header: str = "x-forwarded-for"
    _ranges: Mapping[type, list[tuple[int, int]]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ranges: dict[type, list[tuple[int, int]]] = {}
        for one in map(_network, self.networks):
            limits = (int(one.network_address), int(one.broadcast_address))
            ranges.setdefault(type(one.network_address), []).append(limits)
        object.__setattr__(self, "_ranges", ranges)

    def __bool__(self) -> bool:
        return bool(self._ranges)

    def __contains__(self, address: object) -> bool:
        if not isinstance(address, (ipaddress.IPv4Address, ipaddress.IPv6Address)):
            return False
        number = int(address)
        for first, last in self._ranges.get(type(address), ()):  # noqa: SIM110  for every request, twice
            if first <= number <= last:
                return True
        return False


def client_address(headers: Sequence[tuple[bytes, bytes]], peer: str, trust: Trust) -> ClientAddress:
    """The client of a request with these headers."""
    return client_of(values(headers, trust.header.lower().encode()), peer, trust)


def client_of(said: Sequence[bytes], peer: str, trust: Trust) -> ClientAddress:
    """The client of a request in which the header of `trust` has these values. An empty `peer` (a unix socket) is
    believed if anybody is."""
    direct = _peer_address(peer)
    if peer and direct is None:
        return _UNREADABLE
    if not trust or (direct is not None and direct not in trust):
        return _found(direct)
    if not said:
        return _found(direct)
    header = trust.header.lower()
    if len(said) == 1 and header == "x-forwarded-for" and b"," not in said[0]:
        # The only hop is the last one, whoever trusts it.
        hop = _hop(said[0].strip(b" \t").decode("latin-1"))
        return _UNREADABLE if hop is None else _found(hop)
    return _walk(_hops(said, header), trust, direct)


def read_address(text: str) -> IpAddress | None:
    """The address that this text is, without a zone, an IPv4-mapped one as IPv4; else None.

    Tunnelled addresses (6to4, Teredo, NAT64) stay as they are: anybody can have one that names a trusted IPv4.
    """
    found = _IPV4.fullmatch(text)
    if found is not None:
        # As below, in a third of the time: most addresses are of this kind.
        first, second, third, fourth = map(int, found.groups())
        if first < 256 and second < 256 and third < 256 and fourth < 256:
            return ipaddress.IPv4Address(first << 24 | second << 16 | third << 8 | fourth)
        return None
    plain, zoned, zone = text.partition("%")
    try:
        address = ipaddress.ip_address(plain)
    except ValueError:
        return None
    if zoned and (address.version == 4 or not zone):
        return None
    return _mapped(address)


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
    # The prefix itself names nobody; it is also what `truncate` makes of its neighbours.
    if address in _NAT64 and address != _NAT64.network_address:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def truncate(text: str) -> str:
    """The address with the last octet of IPv4, or the last 80 bits of IPv6, set to zero; empty if it is none."""
    read = read_address(text)
    if read is None:
        return ""
    address = unmap(read)
    kept = 24 if address.version == 4 else 48
    return str(ipaddress.ip_network((address, kept), strict=False).network_address)


@lru_cache(maxsize=1024)
def _peer_address(peer: str) -> IpAddress | None:
    """The address of a peer: the same few balancers again and again, where addresses are said at all."""
    return read_address(peer)


def _network(text: str) -> IpNetwork:
    """The network; one of IPv4-mapped addresses as IPv4, as addresses are read."""
    network = ipaddress.ip_network(text, strict=False)
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    return (
        network
        if mapped is None or network.prefixlen < 96
        else ipaddress.ip_network((mapped, network.prefixlen - 96))
    )


def _mapped(address: IpAddress) -> IpAddress:
    mapped = None if isinstance(address, ipaddress.IPv4Address) else address.ipv4_mapped
    return address if mapped is None else mapped


def _found(address: IpAddress | None) -> ClientAddress:
    return ClientAddress(None if address is None else unmap(address))


def _walk(hops: Iterable[IpAddress | None], trust: Trust, direct: IpAddress | None) -> ClientAddress:
    last = direct
    for hop in hops:
        if hop is None:
            return _UNREADABLE
        last = hop
        if hop not in trust:
            return _found(hop)
    return _found(last)


def _hops(said: Sequence[bytes], header: str) -> Iterable[IpAddress | None]:
    """The addresses that the header names, right to left, each read only when asked for; None for an unreadable."""
    if header == "forwarded":
        return (_node(node) for node in reversed(_forwarded(b",".join(said))))
    if header == "x-forwarded-for":
        return (_hop(one.strip(b" \t").decode("latin-1")) for one in reversed(b",".join(said).split(b",")))
    # A CDN's own header holds one address; several fields are somebody else's.
    return [_hop(said[0].strip(b" \t").decode("latin-1")) if len(said) == 1 else None]


def _hop(text: str) -> IpAddress | None:
    plain = read_address(text)
    if plain is not None:
        return plain
    found = _WITH_PORT.fullmatch(text)
    return read_address(found[1] or found[2]) if found else None


def _forwarded(field_value: bytes) -> list[bytes]:
    """The `for` of each element (RFC 7239 4); empty for an element that is not well-formed, or names none."""
    nodes: list[bytes] = []
    position, said, broken = 0, dict[bytes, bytes](), False
    while position <= len(field_value):
        position = _after_blanks(field_value, position)
        found = _PAIR.match(field_value, position)
        if found is not None:
            name = found[1].lower()
            broken = broken or name in said
            said[name] = found[2] if found[2] is not None else re.sub(rb"\\(.)", rb"\1", found[3])
            position = _after_blanks(field_value, found.end())
        if field_value[position : position + 1] not in (b",", b";", b""):
            # The next comma ends what is broken, even within quotes: nothing may swallow what a proxy appended.
            broken, position = True, _next_comma(field_value, position)
        if field_value[position : position + 1] != b";":
            nodes.append(b"" if broken else said.get(b"for", b""))
            said, broken = {}, False
        position += 1
    return nodes


def _after_blanks(field_value: bytes, position: int) -> int:
    blanks = _BLANKS.match(field_value, position)
    return position if blanks is None else blanks.end()


def _next_comma(field_value: bytes, position: int) -> int:
    comma = field_value.find(b",", position)
    return len(field_value) if comma < 0 else comma


def _node(node: bytes) -> IpAddress | None:
    """The address of a node, IPv6 only in brackets as RFC 7239 6 has it: without, a port could pass for a part."""
    text = node.decode("latin-1")
    return None if ":" in text and not _WITH_PORT.fullmatch(text) else _hop(text)
