"""The client's address is what trusted hops vouch for, and nothing left of what cannot be read."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_mw.wire.address import ClientAddress, Trust, client_address, read_address, truncate, unmap

NETWORKS = ("10.0.0.0/8", "127.0.0.0/8", "::1")
UNREADABLE = ""


def seen(header: str, *fields: bytes, peer: str = "10.0.0.1", networks: tuple[str, ...] = NETWORKS) -> ClientAddress:
    return client_address([(header.encode(), field) for field in fields], peer, Trust(networks, header))


def expected(text: str) -> ClientAddress:
    return ClientAddress(ip_address(text)) if text else ClientAddress(None, readable=False)


XFF = {
    "one hop": ([b"203.0.113.7"], "203.0.113.7"),
    "trusted hops behind it": ([b"203.0.113.7, 10.1.1.1, 127.0.0.1"], "203.0.113.7"),
    "what the client made up": ([b"8.8.8.8, 203.0.113.7, 10.1.1.1"], "203.0.113.7"),
    "two fields": ([b"8.8.8.8", b"203.0.113.7"], "203.0.113.7"),
    "a port": ([b"203.0.113.7:8080"], "203.0.113.7"),
    "IPv6": ([b"2001:db8::7"], "2001:db8::7"),
    "IPv6 with a port": ([b"[2001:db8::7]:443"], "2001:db8::7"),
    "IPv6 in brackets": ([b"[2001:db8::7]"], "2001:db8::7"),
    "a zone": ([b"fe80::1%eth0"], "fe80::1"),
    "a mapped address": ([b"::ffff:203.0.113.7"], "203.0.113.7"),
    "a mapped trusted hop": ([b"203.0.113.7, ::ffff:10.0.0.9"], "203.0.113.7"),
    "only trusted hops": ([b"10.9.9.9, 10.1.1.1"], "10.9.9.9"),
    "6to4 naming a trusted one": ([b"8.8.8.8, 2002:7f00:1::1"], "127.0.0.1"),
    "unknown": ([b"8.8.8.8, unknown"], UNREADABLE),
    "an unreadable trusted hop": ([b"8.8.8.8, x, 10.1.1.1"], UNREADABLE),
    "empty": ([b""], UNREADABLE),
    "a comma at the end": ([b"8.8.8.8,"], UNREADABLE),
    "leading zeros": ([b"203.0.113.007"], UNREADABLE),
    "a colon without a port": ([b"203.0.113.7:"], UNREADABLE),
    "IPv4 in brackets": ([b"[203.0.113.7]"], UNREADABLE),
    "a zone on IPv4": ([b"203.0.113.7%eth0"], UNREADABLE),
    "not ASCII": ([b"203.0.113.\xb2"], UNREADABLE),
}


@pytest.mark.parametrize(("fields", "text"), XFF.values(), ids=XFF)
def test_forwarded_for_is_walked_from_the_right(fields: list[bytes], text: str) -> None:
    assert seen("x-forwarded-for", *fields) == expected(text)


@pytest.mark.parametrize("network", ["::ffff:10.0.0.0/104", "::ffff:10.0.0.1", "10.0.0.0/8", "10.9.9.9/8"])
def test_a_network_of_mapped_addresses_is_one_of_ipv4(network: str) -> None:
    assert seen("x-forwarded-for", b"203.0.113.7", networks=(network,)) == expected("203.0.113.7")
    assert seen("x-forwarded-for", b"8.8.8.8", peer="11.0.0.1", networks=(network,)) == expected("11.0.0.1")


FORWARDED = {
    "one hop": ([b"for=203.0.113.7"], "203.0.113.7"),
    "all parameters": ([b'For="203.0.113.7:80";proto=https;by=10.0.0.1;host=a'], "203.0.113.7"),
    "IPv6": ([b'for="[2001:db8::7]:443"'], "2001:db8::7"),
    "an escape": ([b'for="203.0.113\\.7"'], "203.0.113.7"),
    "what the client made up": ([b"for=8.8.8.8, for=203.0.113.7, for=10.1.1.1"], "203.0.113.7"),
    "two fields": ([b"for=8.8.8.8", b"for=203.0.113.7"], "203.0.113.7"),
    "an open quote before it": ([b'for="8.8.8.8, for=203.0.113.7'], "203.0.113.7"),
    "garbage before it": ([b'=;"",x y, for=203.0.113.7'], "203.0.113.7"),
    "an obfuscated node": ([b"for=8.8.8.8, for=_hidden"], UNREADABLE),
    "unknown": ([b"for=8.8.8.8, for=unknown"], UNREADABLE),
    "no for": ([b"for=8.8.8.8, proto=https"], UNREADABLE),
    "for twice": ([b"for=8.8.8.8;for=203.0.113.7"], UNREADABLE),
    "IPv6 without quotes": ([b"for=[2001:db8::7]"], UNREADABLE),
    "IPv6 without brackets": ([b'for="2001:db8::7"'], UNREADABLE),
    "a port without quotes": ([b"for=203.0.113.7:80"], UNREADABLE),
    "an open quote at the end": ([b'for=8.8.8.8, for="203.0.113.7'], UNREADABLE),
    "a quote around a proxy's": ([b'for=8.8.8.8, for="', b'for="[2001:db8::7]"'], UNREADABLE),
    "empty": ([b""], UNREADABLE),
}


@pytest.mark.parametrize(("fields", "text"), FORWARDED.values(), ids=FORWARDED)
def test_forwarded_is_read_as_its_grammar_has_it(fields: list[bytes], text: str) -> None:
    assert seen("forwarded", *fields) == expected(text)


def test_a_cdns_own_header_holds_one_address() -> None:
    assert seen("cf-connecting-ip", b"203.0.113.7") == expected("203.0.113.7")
    assert seen("cf-connecting-ip", b"8.8.8.8, 203.0.113.7") == expected(UNREADABLE)
    assert seen("cf-connecting-ip", b"8.8.8.8", b"203.0.113.7") == expected(UNREADABLE)


PEERS = {
    "not trusted": ("203.0.113.9", NETWORKS, expected("203.0.113.9")),
    "nobody is": ("10.0.0.1", (), expected("10.0.0.1")),
    "mapped and trusted": ("::ffff:10.0.0.1", NETWORKS, expected("8.8.8.8")),
    "6to4 naming a trusted one": ("2002:7f00:1::1", NETWORKS, expected("127.0.0.1")),
    "a unix socket": ("", NETWORKS, expected("8.8.8.8")),
    "a unix socket, nobody trusted": ("", (), ClientAddress(None)),
    "no address": ("testclient", NETWORKS, expected(UNREADABLE)),
}


@pytest.mark.parametrize(("peer", "networks", "client"), PEERS.values(), ids=PEERS)
def test_a_header_is_believed_of_a_trusted_peer_alone(
    peer: str, networks: tuple[str, ...], client: ClientAddress
) -> None:
    assert seen("x-forwarded-for", b"8.8.8.8", peer=peer, networks=networks) == client


def test_a_trusted_peer_that_says_nothing_is_the_client() -> None:
    assert client_address([], "10.0.0.1", Trust(NETWORKS)) == expected("10.0.0.1")


TRUNCATED = {
    "IPv4": ("203.0.113.77", "203.0.113.0"),
    "IPv6": ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
    "mapped": ("::ffff:203.0.113.77", "203.0.113.0"),
    "6to4": ("2002:cb00:714d::1", "203.0.113.0"),
    "Teredo": ("2001:0:4136:e378:8000:63bf:34ff:8eb2", "203.0.113.0"),
    "NAT64": ("64:ff9b::203.0.113.77", "203.0.113.0"),
    "a neighbour of NAT64": ("64:ff9b:0:1::", "64:ff9b::"),
    "a zone": ("fe80::1%eth0", "fe80::"),
    "none": ("x", ""),
    "empty": ("", ""),
}


@pytest.mark.parametrize(("text", "short"), TRUNCATED.values(), ids=TRUNCATED)
def test_an_address_is_truncated_once_and_for_all(text: str, short: str) -> None:
    assert truncate(text) == short
    assert truncate(short) == short


@given(st.ip_addresses())
def test_truncating_and_unmapping_twice_is_doing_it_once(address: object) -> None:
    assert truncate(truncate(str(address))) == truncate(str(address)) != ""
    read = read_address(str(address))
    assert read is not None
    assert unmap(unmap(read)) == unmap(read)
