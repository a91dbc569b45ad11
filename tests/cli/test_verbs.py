"""What all verbs have in common, as a shell sees it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize("arguments", [["--help"], ["profile", "list"], ["check", "--schema"]], ids=" ".join)
def test_what_its_reader_does_not_take_is_neither_fine_nor_a_finding(arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        ran = subprocess.run(
            [sys.executable, "-m", "consent_mw.cli", *arguments],
            stdout=closed, stderr=subprocess.PIPE, timeout=60, check=False,
        )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (2, b"")
