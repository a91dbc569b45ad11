"""The built wheel carries everything it needs, shown by installing it in a clean environment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

SHOWS = """
import json
import consent_mw
from pathlib import Path
from consent_mw.world.assets import Assets
from consent_mw.wire.native import native
from consent_mw.world.geo import Locator
from consent_mw.world.policy_file import profile_names
from consent_mw.world.wording import texts_in
import ipaddress
place = Locator(["builtin"]).locate(ipaddress.ip_address("85.214.132.117"))
print(json.dumps({
    "home": str(Path(consent_mw.__file__).parent),
    "country": [one.country for one in place],
    "css": Assets().url("/x", "banner.css"),
    "profiles": list(profile_names()),
    "reject": texts_in("de")["choice.reject"],
    "native": native is not None,
}))
"""


COMPILES = bool(shutil.which("cc")) and Path(sysconfig.get_path("include"), "Python.h").is_file()
NOT_OURS = ("PYTHONPATH", "VIRTUAL_ENV", "CONSENT_MW", "CC")
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(NOT_OURS)}


def build(folder: Path, environment: dict[str, str]) -> tuple[Path, str]:
    """The wheel that is built in this folder, and what was said meanwhile."""
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)]
    told = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return next(folder.glob("*.whl")), told.stdout + told.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("wheel"), CLEAN)[0]


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """The interpreter of an environment that holds the wheel and nothing of this checkout."""
    venv.create(wheel.parent / "env", with_pip=True)
    python = wheel.parent / "env" / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel)]
    subprocess.run(install, check=True, capture_output=True, env=CLEAN)
    return python


def native_files(wheel: Path) -> list[str]:
    """The files of the wheel that belong to the native core, but for what types it."""
    with zipfile.ZipFile(wheel) as packed:
        return [one for one in packed.namelist() if "_native" in one and not one.endswith(".pyi")]


@pytest.mark.skipif(not COMPILES, reason="there is no C compiler, or no Python.h")
def test_the_wheel_carries_the_native_core_for_every_python_from_here_on(wheel: Path) -> None:
    assert native_files(wheel) == ["consent_mw/wire/_native.abi3.so"]
    assert wheel.name.startswith("consent_mw-0.1.0-cp311-abi3-")


def test_without_a_compiler_the_wheel_is_pure_and_says_so(tmp_path: Path) -> None:
    pure, said = build(tmp_path, {**CLEAN, "PATH": str(tmp_path)})
    assert native_files(pure) == []
    assert pure.name == "consent_mw-0.1.0-py3-none-any.whl"
    assert "consent_mw is built without its native core: there is no C compiler" in said


def test_the_wheel_carries_data_static_files_and_profiles(installed: Path, tmp_path: Path) -> None:
    said = subprocess.run([str(installed), "-c", SHOWS], check=True, capture_output=True, cwd=tmp_path)
    told = json.loads(said.stdout)
    assert not told["home"].startswith(str(ROOT))
    assert told["country"] == ["DE"]
    assert told["css"].startswith("/x/static/banner.")
    assert "mixmax-2018" in told["profiles"]
    assert told["reject"] == "Alle ablehnen"
    assert told["native"] is COMPILES


def test_the_command_of_the_wheel_runs(installed: Path, tmp_path: Path) -> None:
    command = str(installed.parent / "consent-mw")
    shown = subprocess.run([command, "profile", "show", "mixmax-2018"], check=True, capture_output=True, cwd=tmp_path)
    file = tmp_path / "policy.toml"
    file.write_bytes(shown.stdout)
    checked = subprocess.run([command, "check", str(file), "--format", "json"], capture_output=True, cwd=tmp_path)
    assert checked.returncode == 0
    assert all(one["severity"] == "warning" for one in json.loads(checked.stdout)["problems"])
