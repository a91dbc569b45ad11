"""Certificates: the pair that TLS shows, and another one in its place without a restart.

Rule: a pair is tried whole before any of it is used; what cannot be used leaves the old one in force.
Rule: a handshake shows the pair of its moment; what stands already is not touched.
Source: RFC 8996 for the oldest version, RFC 9113 9.2 for what HTTP/2 asks of TLS.
"""

from __future__ import annotations

import re
import ssl
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cryptography import x509

from consent_mw.errors import ServeError

PROTOCOLS: Final = ("h2", "http/1.1")

LARGEST: Final = 1_048_576
"""Bytes of a file that are read."""

_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""What TLS 1.2 may use: none of it is on the list of RFC 9113, Appendix A."""

_LOCKED = re.compile(rb"BEGIN ENCRYPTED PRIVATE KEY|Proc-Type: 4,ENCRYPTED")


class Certificates:
    """The pair in these two files. `context` is what a server is opened with, and stays the same."""

    def __init__(self, certificate: str, key: str) -> None:
        """Raises ServeError if the pair cannot be used."""
        self._certificate = certificate
        self._key = key
        self._current = self._load()
        self.context = self._load()
        self.context.sni_callback = self._show

    def reload(self) -> None:
        """Take the pair that the files hold now. Raises ServeError if it cannot be used; the old one stays."""
        self.prepare()()

    def prepare(self) -> Callable[[], None]:
        """Try the pair that the files hold now; what is returned takes it, and cannot fail. Raises as `reload`."""
        pair = self._load()

        def take() -> None:
            self._current = pair

        return take

    def _show(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        # Loading into the context that is in use would show, for a moment or after an error, halves of two pairs.
        connection.context = self._current

    def _load(self) -> ssl.SSLContext:
        _require_certificate(self._certificate, _read("--tls-cert", self._certificate))
        _require_open_key(self._key, _read("--tls-key", self._key))
        context = _fresh()
        try:
            # OpenSSL would ask the terminal for a passphrase.
            context.load_cert_chain(self._certificate, self._key, password="")
        except ssl.SSLError as error:
            pair = f"--tls-key `{self._key}` and --tls-cert `{self._certificate}`"
            if error.reason == "KEY_VALUES_MISMATCH":
                raise ServeError(f"{pair} do not belong together") from None
            if error.reason in (None, "PEM_LIB"):
                raise ServeError(f"--tls-key `{self._key}` is malformed") from None
            raise ServeError(f"{pair} cannot be used: {error.reason.lower().replace('_', ' ')}") from None
        except OSError as error:
            reason = (error.strerror or "it is malformed").lower()
            raise ServeError(f"--tls-cert `{self._certificate}` cannot be read: {reason}") from None
        return context


def _fresh() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_ciphers(_CIPHERS)
    context.set_alpn_protocols(list(PROTOCOLS))
    return context


def _require_certificate(file: str, content: bytes) -> None:
    if b"-----BEGIN CERTIFICATE-----" not in content:
        raise ServeError(f"--tls-cert `{file}` holds no certificate in PEM")
    try:
        x509.load_pem_x509_certificates(content)
    except ValueError:
        raise ServeError(f"--tls-cert `{file}` is malformed") from None


def _require_open_key(file: str, content: bytes) -> None:
    if b"PRIVATE KEY-----" not in content:
        raise ServeError(f"--tls-key `{file}` holds no private key in PEM")
    if _LOCKED.search(content):
        raise ServeError(f"--tls-key `{file}` is encrypted, and nobody is there to type its passphrase")


def _read(option: str, file: str) -> bytes:
    try:
        # OpenSSL opens it again, which waits for ever at a pipe.
        if stat.S_ISFIFO(Path(file).stat().st_mode):
            raise OSError("it is a pipe, and would be read twice")
        with Path(file).open("rb") as stream:
            found = stream.read(LARGEST + 1)
        if len(found) > LARGEST:
            raise OSError("it is larger than 1 MiB")
        return found
    except OSError as error:
        raise ServeError(f"{option} `{file}` cannot be read: {(error.strerror or str(error)).lower()}") from None
