"""`keys`: make keys for CONSENT_MW_KEYS."""

from __future__ import annotations

import base64
import json
import secrets

import click

KEY_BYTES = 32
"""Random bytes in a key."""


@click.group("keys")
def command() -> None:
    """Make signing keys."""


@command.command("new")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="For people, or JSON.")
def new(form: str) -> int:
    """Print a fresh key; append it to CONSENT_MW_KEYS, the last one signs."""
    key = base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).decode("ascii").rstrip("=")
    click.echo(json.dumps({"key": key}) if form == "json" else key)
    return 0
