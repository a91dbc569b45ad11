"""Certificates: the pair of the moment, and what is said of one that cannot be used."""

from __future__ import annotations

import shutil
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption
from cryptography.x509.oid import NameOID

from consent_mw.errors import ServeError
from consent_mw.world.certificates import Certificates
from tests.sidecar.certificates import write_pair


def shown(context: ssl.SSLContext, offered: list[str] | None = None) -> tuple[str, str | None]:
    """The name in the certificate of a handshake with this server, and the protocol that was chosen."""
    browser = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    browser.check_hostname, browser.verify_mode = False, ssl.CERT_NONE
    if offered:
        browser.set_alpn_protocols(offered)
    upward, downward = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = browser.wrap_bio(downward, upward, server_hostname="localhost")
    other = context.wrap_bio(upward, downward, server_side=True)
    for _ in range(4):
        for side in (one, other):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    seen = one.getpeercert(binary_form=True)
    assert seen is not None
    name = x509.load_der_x509_certificate(seen).subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    return str(name), other.selected_alpn_protocol()


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [(["h2", "http/1.1"], "h2"), (["http/1.1", "h2"], "h2"), (["http/1.1"], "http/1.1"), (["x"], None), (None, None)],
    ids=["both", "both, the other way", "old", "unknown", "nothing"],
)
def test_a_browser_gets_the_newest_protocol_it_offers(
    tmp_path: Path, offered: list[str] | None, chosen: str | None
) -> None:
    certificates = Certificates(*write_pair(tmp_path, "a.example"))
    assert shown(certificates.context, offered) == ("a.example", chosen)


def test_a_reload_changes_what_new_handshakes_see(tmp_path: Path) -> None:
    old, new = write_pair(tmp_path, "old.example"), write_pair(tmp_path, "new.example")
    certificates = Certificates(*old)
    for from_, to in zip(new, old, strict=True):
        shutil.copy(from_, to)
    assert shown(certificates.context) == ("old.example", None)
    certificates.reload()
    assert shown(certificates.context, ["h2"]) == ("new.example", "h2")


def test_a_pair_that_is_half_replaced_leaves_the_old_one_in_force(tmp_path: Path) -> None:
    old, new = write_pair(tmp_path, "old.example"), write_pair(tmp_path, "new.example")
    certificates = Certificates(*old)
    shutil.copy(new[0], old[0])
    with pytest.raises(ServeError, match="do not belong together"):
        certificates.reload()
    assert shown(certificates.context) == ("old.example", None)


def test_old_versions_are_not_spoken(tmp_path: Path) -> None:
    context = Certificates(*write_pair(tmp_path, "a.example")).context
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.options & (ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION) == (
        ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    )


def test_what_cannot_be_used_is_told_in_a_sentence(tmp_path: Path) -> None:
    certificate, key = write_pair(tmp_path, "a.example")
    _, other = write_pair(tmp_path, "b.example")
    _, locked = write_pair(tmp_path, "c.example", encryption=BestAvailableEncryption(b"secret"))
    garbage, cut, cut_key = tmp_path / "garbage", tmp_path / "cut.crt", tmp_path / "cut.key"
    garbage.write_bytes(b"\0\1\2")
    cut.write_bytes(Path(certificate).read_bytes()[:200])
    cut_key.write_bytes(Path(key).read_bytes()[:100])
    told = {}
    for name, pair in {
        "no certificate": (f"{tmp_path}/none", key),
        "no key": (certificate, f"{tmp_path}/none"),
        "a folder": (str(tmp_path), key),
        "another's key": (certificate, other),
        "an encrypted key": (certificate, locked),
        "garbage": (str(garbage), key),
        "garbage for a key": (certificate, str(garbage)),
        "a cut certificate": (str(cut), key),
        "a cut key": (certificate, str(cut_key)),
    }.items():
        with pytest.raises(ServeError) as error:
            Certificates(*pair)
        told[name] = str(error.value).replace(f"{tmp_path}/", "").replace(str(tmp_path), "folder")
    assert told == {
        "no certificate": "--tls-cert `none` cannot be read: no such file or directory",
        "no key": "--tls-key `none` cannot be read: no such file or directory",
        "a folder": "--tls-cert `folder` cannot be read: is a directory",
        "another's key": "--tls-key `b.example.key` and --tls-cert `a.example.crt` do not belong together",
        "an encrypted key": "--tls-key `c.example.key` is encrypted, and nobody is there to type its passphrase",
        "garbage": "--tls-cert `garbage` holds no certificate in PEM",
        "garbage for a key": "--tls-key `garbage` holds no private key in PEM",
        "a cut certificate": "--tls-cert `cut.crt` is malformed",
        "a cut key": "--tls-key `cut.key` is malformed",
    }
