"""Certificates that are made for one test: an authority with what it signs, and some that sign themselves."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

CLEAR = serialization.NoEncryption()


class Authority:
    """An authority of its own; its certificate is in `file`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named("an authority of the tests")
        builder = _begun(self._name, self._name, self._key, days=2)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self._certificate = builder.sign(self._key, hashes.SHA256())
        self.file = folder / "authority.pem"
        self.file.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def context(self, *names: str, days: int = 2) -> ssl.SSLContext:
        """What a server needs to show a certificate for these names or addresses; one of -1 days has expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _for(names, _begun(_named(names[0]), self._name, key, days=days))
        certificate = builder.sign(self._key, hashes.SHA256())
        file = self._folder / f"{names[0]}{days}.pem"
        file.write_bytes(_private(key) + certificate.public_bytes(serialization.Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


def write_pair(
    folder: Path, name: str, *, encryption: serialization.KeySerializationEncryption = CLEAR
) -> tuple[str, str]:
    """A certificate for `name`, localhost and 127.0.0.1, signed by itself, and its key, as files in the folder."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _for((name, "localhost", "127.0.0.1"), _begun(_named(name), _named(name), key, days=30))
    signed = builder.sign(key, hashes.SHA256())
    certificate, private = folder / f"{name}.crt", folder / f"{name}.key"
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(_private(key, encryption))
    return str(certificate), str(private)


def _private(key: ec.EllipticCurvePrivateKey, encryption: serialization.KeySerializationEncryption = CLEAR) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def _for(names: Sequence[str], builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    """With these names and addresses."""
    known = [x509.IPAddress(ip_address(one)) if one[0].isdigit() else x509.DNSName(one) for one in names]
    return builder.add_extension(x509.SubjectAlternativeName(known), critical=False)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, *, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=3))
    return builder.not_valid_after(now + timedelta(days=days))
