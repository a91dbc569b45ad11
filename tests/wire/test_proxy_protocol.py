"""What a load balancer says of a connection."""

from __future__ import annotations

import ipaddress

import pytest

from consent_mw.wire.proxy_protocol import Proxied, read_proxy_header

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def v2(command: int, kind: int, content: bytes) -> bytes:
    """A header of version 2."""
    return SIGNATURE + bytes([0x20 | command, kind]) + len(content).to_bytes(2) + content


def addresses(source: str, target: str) -> bytes:
    """The addresses and ports of a version 2 header."""
    return ipaddress.ip_address(source).packed + ipaddress.ip_address(target).packed + b"\x01\xbb\x1f\x90"


SAID = {
    "v1 over IPv4": (b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n", "192.0.2.1"),
    "v1 over IPv6": (b"PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n", "2001:db8::1"),
    "v1 of the balancer itself": (b"PROXY UNKNOWN\r\n", ""),
    "v1 unknown with addresses": (b"PROXY UNKNOWN ffff:f...f:ffff 1 2 3\r\n", ""),
    "v2 over IPv4": (v2(1, 0x11, addresses("192.0.2.1", "198.51.100.1")), "192.0.2.1"),
    "v2 over IPv6": (v2(1, 0x21, addresses("2001:db8::1", "2001:db8::2")), "2001:db8::1"),
    "v2 with more said": (v2(1, 0x11, addresses("192.0.2.1", "198.51.100.1") + b"\x03\x00\x04abcd"), "192.0.2.1"),
    "v2 of the balancer itself": (v2(0, 0x00, b""), ""),
    "v2 over a unix socket": (v2(1, 0x31, b"x" * 216), ""),
    "v2 over datagrams": (v2(1, 0x12, addresses("192.0.2.1", "198.51.100.1")), ""),
}


@pytest.mark.parametrize(("raw", "address"), SAID.values(), ids=SAID)
def test_the_client_is_read_once_the_header_is_whole(raw: bytes, address: str) -> None:
    assert [read_proxy_header(raw[:end]) for end in range(len(raw))] == [None] * len(raw)
    assert read_proxy_header(raw + b"GET / HTTP/1.1\r\n") == Proxied(address, len(raw))


NONE = {
    "a request": b"GET / HTTP/1.1\r\n",
    "TLS": b"\x16\x03\x01\x02\x00",
    "v1 in lower case": b"proxy TCP4 192.0.2.1 198.51.100.1 1 2\r\n",
    "v1 of another family": b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
    "v1 without ports": b"PROXY TCP4 192.0.2.1 198.51.100.1\r\n",
    "v1 with two blanks": b"PROXY TCP4  192.0.2.1 198.51.100.1 1 2\r\n",
    "v1 with an address that is none": b"PROXY TCP4 192.0.2.999 198.51.100.1 1 2\r\n",
    "v1 without an end": b"PROXY UNKNOWN " + b"x" * 100,
    "v2 of another version": SIGNATURE + b"\x11\x11\x00\x00",
    "v2 with another command": SIGNATURE + b"\x22\x11\x00\x00",
    "v2 shorter than its addresses": v2(1, 0x11, b"\x01\x02"),
    "v2 too long": SIGNATURE + b"\x21\x11\xff\xff",
}


@pytest.mark.parametrize("raw", NONE.values(), ids=NONE)
def test_what_is_no_header_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="PROXY protocol"):
        read_proxy_header(raw)
