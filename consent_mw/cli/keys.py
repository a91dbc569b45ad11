"""`keys`: make keys for CONSENT_MW_KEYS, and verify what they signed.

Rule: verifying needs no secret, no store and no network: a receipt and the public keys are enough.
"""

from __future__ import annotations

import base64
import json
import secrets
import sys
from collections.abc import Iterator, Mapping

import click

from consent_mw.errors import KeysError
from consent_mw.wire.receipts import verify as verified
from consent_mw.world.policy_file import read_bounded

LARGEST = 16 * 1024 * 1024
"""Bytes of a download, and of a file of keys, that are read."""

KEY_BYTES = 32
"""Random bytes in a key."""


@click.group("keys")
def command() -> None:
    """Make signing keys; verify a receipt."""


@command.command("new")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="For people, or JSON.")
def new(form: str) -> int:
    """Print a fresh key; append it to CONSENT_MW_KEYS, the last one signs."""
    key = base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).decode("ascii").rstrip("=")
    click.echo(json.dumps({"key": key}) if form == "json" else key)
    return 0


@command.command("verify")
@click.argument("file", metavar="RECEIPT_FILE")
@click.option("--keys", "keys_file", required=True, help="The site's keys.json.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="For people, or JSON.")
def verify(file: str, keys_file: str, form: str) -> int:
    """Verify the receipt in RECEIPT_FILE (or every one in a download of `receipts` or `data`; `-` is stdin)."""
    keys = _json(keys_file, _text(keys_file))
    if not isinstance(keys, dict) or not isinstance(keys.get("keys"), list):
        raise KeysError(f"`{keys_file}` holds no public keys: it must be the site's keys.json")
    found = list(_receipts(file, _text(file)))
    if not found:
        raise KeysError(f"`{file}` holds no receipt")
    claims = [verified(one, keys) for one in found]
    if form == "json":
        told = [{"valid": one is not None, "claims": one} for one in claims]
        click.echo(json.dumps({"receipts": told}, ensure_ascii=False, indent=2))
    else:
        for one in claims:
            click.echo(_sentence(one))
    return 0 if all(one is not None for one in claims) else 1


def _receipts(file: str, text: str) -> Iterator[str]:
    """The signed receipts in this text: itself, or every `jws` of a JSON document."""
    if text.lstrip()[:1] not in ("{", "["):
        yield from text.split()
        return
    looked_at = [_json(file, text)]
    while looked_at:
        one = looked_at.pop(0)
        if isinstance(one, dict):
            if isinstance(one.get("jws"), str):
                yield one["jws"]
            looked_at += one.values()
        elif isinstance(one, list):
            looked_at += one


def _sentence(claims: Mapping[str, object] | None) -> str:
    if claims is None:
        return "not valid: none of these keys signed this"
    purposes = claims.get("purposes")
    answers = purposes.items() if isinstance(purposes, dict) else ()
    said = ", ".join(f"{name} {'yes' if yes else 'no'}" for name, yes in answers)
    return (
        f"valid: receipt {claims.get('receipt')} of {claims.get('site')}, {claims.get('at')}: {said or 'no answer'}"
    )


def _text(file: str) -> str:
    try:
        data = sys.stdin.buffer.read(LARGEST + 1) if file == "-" else read_bounded(file, LARGEST + 1)
        if len(data) > LARGEST:
            raise KeysError(f"`{file}` is larger than {LARGEST >> 20} MiB")
        text = data.decode("utf-8")
    except OSError as error:
        raise KeysError(f"`{file}` cannot be read: {(error.strerror or str(error)).lower()}") from None
    except ValueError:
        raise KeysError(f"`{file}` is not text") from None
    if "\0" in text:
        raise KeysError(f"`{file}` is not text")
    return text


def _json(file: str, text: str) -> object:
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        raise KeysError(f"`{file}` is not JSON") from None
    return value
