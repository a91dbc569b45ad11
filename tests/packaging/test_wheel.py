"""The built wheel carries everything it needs, shown by installing it in a clean environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

SHOWS = """
import json
import consent_mw
from pathlib import Path
from consent_mw.world.assets import Assets
from consent_mw.world.geo import Locator
from consent_mw.world.policy_file import profile_names
import ipaddress
place = Locator(["builtin"]).locate(ipaddress.ip_address("85.214.132.117"))
print(json.dumps({
    "home": str(Path(consent_mw.__file__).parent),
    "country": [one.country for one in place],
    "css": Assets().url("/x", "banner.css"),
    "profiles": list(profile_names()),
}))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that holds the wheel and nothing of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHONPATH", "VIRTUAL_ENV"))}
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, env=clean)
    wheel = next(folder.glob("*.whl"))
    venv.create(folder / "env", with_pip=True)
    python = folder / "env" / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel)]
    subprocess.run(install, check=True, capture_output=True, env=clean)
    return python


def test_the_wheel_carries_data_static_files_and_profiles(installed: Path, tmp_path: Path) -> None:
    said = subprocess.run([str(installed), "-c", SHOWS], check=True, capture_output=True, cwd=tmp_path)
    told = json.loads(said.stdout)
    assert not told["home"].startswith(str(ROOT))
    assert told["country"] == ["DE"]
    assert told["css"].startswith("/x/static/banner.")
    assert "mixmax-2018" in told["profiles"]


def test_the_command_of_the_wheel_runs(installed: Path, tmp_path: Path) -> None:
    command = str(installed.parent / "consent-mw")
    shown = subprocess.run([command, "profile", "show", "mixmax-2018"], check=True, capture_output=True, cwd=tmp_path)
    file = tmp_path / "policy.toml"
    file.write_bytes(shown.stdout)
    checked = subprocess.run([command, "check", str(file), "--format", "json"], capture_output=True, cwd=tmp_path)
    assert checked.returncode == 0
    assert all(one["severity"] == "warning" for one in json.loads(checked.stdout)["problems"])
