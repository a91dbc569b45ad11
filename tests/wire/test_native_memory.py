"""The native core takes no memory that it does not give back, and touches none that is not its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from consent_mw.wire.native import native

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "consent_mw" / "wire" / "_native.c"

pytestmark = pytest.mark.skipif(native is None, reason="the native core is not built here, or was not asked for")


def strain(*arguments: str, **environment: str) -> int:
    """Strain the core on an interpreter of its own; the octets that were left allocated."""
    command = [sys.executable, "-X", "dev", "-m", "tests.wire.strain_native", *arguments]
    told = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, **environment}, timeout=120
    )
    assert (told.returncode, told.stderr[-3000:]) == (0, "")
    return int(told.stdout.removeprefix("left: "))


def test_a_hundred_thousand_calls_good_and_bad_leave_nothing_allocated() -> None:
    assert strain("--rounds=1200", PYTHONMALLOC="pymalloc") < 2000


def test_every_allocation_may_fail() -> None:
    pytest.importorskip("_testcapi", reason="this Python cannot be made short of memory")
    assert strain("--rounds=20", "--without-memory", PYTHONMALLOC="debug") < 2000


def test_nothing_is_touched_that_is_not_held(tmp_path: Path) -> None:
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("gcc is not here")
    named = (f"-print-file-name=lib{one}.so" for one in ("asan", "ubsan"))
    libraries = [subprocess.run([compiler, one], capture_output=True, text=True).stdout.strip() for one in named]
    if not all(Path(one).is_absolute() for one in libraries):
        pytest.skip("gcc's sanitizers are not here")
    built = tmp_path / "_native.abi3.so"
    options = ["-O1", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined"]
    include = ["-I", sysconfig.get_path("include"), "-fno-sanitize-recover=undefined"]
    subprocess.run([compiler, *options, *include, str(SOURCE), "-o", str(built)], check=True, timeout=120)
    settings = {"LD_PRELOAD": " ".join(libraries), "ASAN_OPTIONS": "detect_leaks=0", "PYTHONMALLOC": "malloc"}
    assert strain(str(built), "--rounds=20", "--without-memory", **settings) < 2000
