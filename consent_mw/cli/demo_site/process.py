"""The sidecar of the demonstration: the built-in policy turned to the local vendor, and `serve` as a process.

Rule: the process ends with the block, whichever way the block ends.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from consent_mw.errors import ServeError
from consent_mw.world.policy_file import read_profile

PROFILE = "mixmax-2018"
ENDS_WITHIN = 15.0
"""Seconds that the process gets to end by itself."""

_REPLACED = re.compile(r"(?m)^(kind|endpoint|key|hosts|origin)\s*=.*\n")
_VENDOR = "[vendor.segment]\n"


def demo_policy(receiver: str) -> str:
    """The built-in policy with its vendor at this address, and the loopback as trusted proxy; every other rule, the
    fields that the vendor may get among them, stays as published."""
    text = _REPLACED.sub("", read_profile(PROFILE))
    text = text.replace(_VENDOR, f'{_VENDOR}kind = "webhook"\nendpoint = "{receiver}/in"\n')
    return f'{text}\n[client_address]\ntrusted = ["127.0.0.0/8"]\n'


KEYS = ("CONSENT_MW_KEYS", "CONSENT_MW_LEDGER_KEY")


@contextlib.contextmanager
def sidecar(folder: Path, policy: Path, upstream: str) -> Iterator[str]:
    """`consent-mw serve` as a process of its own, with fresh keys; gives its address. Raises ServeError where it does
    not start."""
    command = [sys.executable, "-m", "consent_mw.cli", "serve", "--policy", str(policy), "--upstream", upstream]
    command += ["--listen", "127.0.0.1:0", "--store", f"sqlite:///{folder / 'consent.db'}", "--drain", "5s"]
    process = subprocess.Popen(  # noqa: S603  our own command
        [*command, "--access-log", "off"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **{name: secrets.token_urlsafe(32) for name in KEYS}},
        start_new_session=True,  # a terminal's Ctrl-C is ours to answer; the process is ended below
    )
    try:
        line = process.stdout.readline() if process.stdout is not None else ""
        found = re.search(r"listening on (http://\S+?),", line)
        if found is None:
            raise ServeError("the sidecar of the demonstration did not start; what it said stands above")
        yield found[1]
    finally:
        _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(ENDS_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
