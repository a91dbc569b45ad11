"""The configuration: what is in force until it is reloaded, the policy and the keys, read and verified as one.

Rule: it is verified whole before anything of it is in force.
Rule: the policy's bytes travel with it, so that every process puts the very same policy in force.
Rule: no key is in an argument, a message to people or a metric.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from consent_mw.asgi.gate import ledger_book, vendor_key
from consent_mw.core.policy import Policy
from consent_mw.errors import ConsentError, KeysError, PolicyError, ServeError, Severity, StoreError
from consent_mw.sidecar.settings import Settings
from consent_mw.wire.token import Keyring, parse_keys
from consent_mw.world.certificates import Certificates
from consent_mw.world.geo import BUILTIN, Locator
from consent_mw.world.policy_file import (
    Reading,
    file_meant,
    read_bounded,
    read_policy,
    read_policy_bytes,
    where_cases_stand,
)
from consent_mw.world.store import open_store, without_password
from consent_mw.world.watch import Look, look

LONGEST_KEYS: Final = 1_048_576
"""Bytes of a file of keys that are read."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """A policy with the bytes and the file that it was read from, and the keys; `seen` is what could be seen of the
    files before they were read."""

    policy: Policy
    data: bytes
    file: str
    keyring: Keyring
    seen: Look = ()

    @classmethod
    def of(cls, data: bytes, file: str, keys: list[bytes]) -> Configuration:
        """The configuration that another process verified. Raises PolicyError where it is not sound here."""
        reading = read_policy_bytes(data, file)
        if reading.policy is None:
            raise PolicyError(reading.problems)
        return cls(reading.policy, data, file, Keyring(keys))

    def files(self, settings: Settings) -> list[str]:
        """Every file whose change asks for a reload."""
        return _files_of(settings, self.policy)


def configure(settings: Settings) -> Configuration:
    """The configuration that these settings name. Raises ConsentError with everything that is wrong with it."""
    configuration, problems = read_configuration(settings)
    if configuration is None:
        if len(problems) == 1:
            raise problems[0]
        raise ServeError("\n".join(str(one) for one in problems))
    return configuration


def read_configuration(settings: Settings) -> tuple[Configuration | None, list[ConsentError]]:
    """The configuration, or every reason why there is none."""
    problems: list[ConsentError] = []
    keyring: Keyring | None = None
    seen = look(_files_of(settings))
    try:
        keyring = read_keys(settings.keys_file)
    except KeysError as error:
        problems.append(error)
    try:
        read_certificates(settings)
    except ServeError as error:
        problems.append(error)
    if keyring is not None:
        try:
            ledger_book(keyring)
        except KeysError as error:
            problems.append(error)
    file = file_meant(settings.policy)
    reading = read_policy(file)
    if reading.policy is None:
        problems.append(PolicyError(reading.problems))
    else:
        # What the policy names is known only now; what was seen before stands, so that no change is overlooked.
        seen = tuple({one[0]: one for one in (*look(_files_of(settings, reading.policy)), *seen)}.values())
        problems += _missing_texts(reading) + _missing_vendor_keys(reading.policy)
        problems += [ServeError(one) for one in Locator(reading.policy.geo.databases).problems]
    if keyring is None or reading.policy is None or problems:
        return None, problems
    return Configuration(reading.policy, reading.data, file, keyring, tuple(sorted(seen))), []


def read_keys(file: str) -> Keyring:
    """The keys in this file, or in CONSENT_MW_KEYS where none is named. Raises KeysError."""
    if not file:
        text = os.environ.get("CONSENT_MW_KEYS", "")
        if not text:
            raise KeysError("no keys: set CONSENT_MW_KEYS or --keys-file (`consent-mw keys new` makes one)")
        return parse_keys(text)
    try:
        data = read_bounded(file, LONGEST_KEYS + 1)
        if len(data) > LONGEST_KEYS:
            raise KeysError("it is larger than 1 MiB, and so holds no keys")
        return parse_keys(data.decode("utf-8"))
    except UnicodeDecodeError:
        raise KeysError(f"--keys-file `{file}` cannot be read: it is not text") from None
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise KeysError(f"--keys-file `{file}` cannot be read: {reason}") from None
    except KeysError as error:
        raise KeysError(f"--keys-file `{file}`: {error}") from None


def read_certificates(settings: Settings) -> Certificates | None:
    """The pair that TLS shows, or none where plain HTTP is served. Raises ServeError."""
    if bool(settings.tls_cert) != bool(settings.tls_key):
        raise ServeError("--tls-cert and --tls-key are needed together")
    return Certificates(settings.tls_cert, settings.tls_key) if settings.tls_cert else None


def problems_around(settings: Settings) -> list[ConsentError]:
    """What is wrong with everything that is not reloaded: the store and the admin port's protection."""
    problems: list[ConsentError] = []
    if settings.admin is not None and not settings.admin_token and not _loopback(settings.admin[0]):
        problems.append(ServeError("--admin off loopback needs a token in CONSENT_MW_ADMIN_TOKEN"))
    try:
        open_store(settings.store).close()
    except (StoreError, OSError) as error:
        problems.append(ServeError(f"--store `{without_password(settings.store)}` cannot be used: {error}"))
    return problems


def _files_of(settings: Settings, policy: Policy | None = None) -> list[str]:
    """Every file that these settings and this policy name."""
    # One that is put where a built-in policy's name points goes before it.
    read = file_meant(settings.policy)
    named = [settings.policy, read, settings.keys_file, settings.tls_cert, settings.tls_key]
    named.append(str(where_cases_stand(read)))
    if policy is not None:
        named += [policy.site.texts, *(one for one in policy.geo.databases if one != BUILTIN)]
    return [one for one in named if one]


def _missing_texts(reading: Reading) -> list[ConsentError]:
    """A file of texts that is not there. `check` warns of it; served, a site's words must not turn into ours."""
    policy = reading.policy
    if policy is None or not policy.site.texts or Path(policy.site.texts).is_file():
        return []
    missing = (one for one in reading.problems if one.code == "missing-file")
    return [PolicyError(tuple(replace(one, severity=Severity.ERROR) for one in missing))]


def _missing_vendor_keys(policy: Policy) -> list[ConsentError]:
    return [
        ServeError(
            f"vendor `{vendor.name}` needs its key in the environment variable {vendor.key.removeprefix('env:')}, "
            "which is unset"
        )
        for vendor in policy.vendors
        if vendor.key.startswith("env:") and not vendor_key(vendor.key)
    ]


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
