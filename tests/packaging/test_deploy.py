"""The files to deploy with: they parse, and name only flags, paths and commands that exist."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from consent_mw.cli.serve import EXAMPLES, command, read_example
from consent_mw.errors import KeysError
from consent_mw.wire.token import parse_keys
from consent_mw.world.policy_file import parse_policy

ROOT = Path(__file__).resolve().parents[2]
FLAGS = {name for one in command.params for name in one.opts}


def manifests() -> dict[str, Any]:
    """The Kubernetes objects by kind."""
    return {one["kind"]: one for one in yaml.safe_load_all(read_example("kubernetes"))}


def sidecar() -> dict[str, Any]:
    """The container of the sidecar."""
    [one] = manifests()["Deployment"]["spec"]["template"]["spec"]["initContainers"]
    found: dict[str, Any] = one
    return found


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_printed_without_anything_else_being_needed(name: str) -> None:
    shown = CliRunner().invoke(command, ["--example", name])
    assert (shown.exit_code, shown.output) == (0, read_example(name))


def given(name: str) -> list[str]:
    """What this example gives to `serve`."""
    if name == "kubernetes":
        return [str(one) for one in sidecar()["args"]]
    text = read_example(name).replace("\\\n# ", " ").replace("\\\n", " ")
    found = re.search(r"(?m)^(?:ExecStart=| *#   podman run).* serve (.*)$", text)
    assert found is not None
    return found[1].split()


@pytest.mark.parametrize("name", ["systemd", "kubernetes", "container"])
def test_an_example_names_only_flags_that_exist(name: str) -> None:
    flags = {one.partition("=")[0] for one in given(name) if one.startswith("--")}
    assert flags <= FLAGS
    assert flags >= {"--policy", "--upstream", "--listen", "--store", "--keys-file"}


def test_the_units_are_sound(tmp_path: Path) -> None:
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("systemd-analyze is not here")
    here = str(Path(sys.executable).parent)
    files = []
    for name in ("systemd", "socket"):
        files.append(tmp_path / EXAMPLES[name])
        files[-1].write_text(read_example(name).replace("/opt/consent-mw/bin", here))
    ran = subprocess.run([verify, "verify", "--man=no", *map(str, files)], capture_output=True, text=True)
    told = [line for line in ran.stderr.splitlines() if str(tmp_path) in line or "consent-mw" in line]
    assert (told, ran.returncode) == ([], 0)


def test_the_service_has_longer_than_its_drain() -> None:
    said = dict(re.findall(r"(?m)^([A-Za-z]+)=([0-9]+)s$", read_example("systemd")))
    drain = re.search(r"--drain ([0-9]+)s", read_example("systemd"))
    assert drain is not None
    assert int(said["TimeoutStopSec"]) > int(drain[1])


def test_the_sidecar_may_do_no_more_than_it_must() -> None:
    pod = manifests()["Deployment"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert sidecar()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert (sidecar()["restartPolicy"], "--watch" in sidecar()["args"]) == ("Always", True)


def test_the_pod_has_longer_than_all_that_ends_in_turn() -> None:
    pod = manifests()["Deployment"]["spec"]["template"]["spec"]
    waits = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain = next(int(one[8:-1]) for one in sidecar()["args"] if one.startswith("--drain="))
    assert pod["terminationGracePeriodSeconds"] > waits + drain


def test_every_path_of_the_sidecar_is_mounted() -> None:
    mounts = {one["name"]: one["mountPath"] for one in sidecar()["volumeMounts"]}
    volumes = {one["name"] for one in manifests()["Deployment"]["spec"]["template"]["spec"]["volumes"]}
    paths = re.findall(r"(?:=|///)(/[a-z/.-]+)", "\n".join(sidecar()["args"]))
    assert set(mounts) == volumes
    assert [one for one in paths if not one.startswith(tuple(f"{mount}/" for mount in mounts.values()))] == []


def test_the_policy_of_the_manifest_is_sound() -> None:
    text = manifests()["ConfigMap"]["data"]["policy.toml"]
    assert parse_policy(text, "policy.toml", base=None).problems == ()


def test_nobody_serves_with_the_key_that_the_manifest_shows() -> None:
    with pytest.raises(KeysError):
        parse_keys(manifests()["Secret"]["stringData"]["keys"])


def test_the_container_is_built_from_what_there_is() -> None:
    lines = [line.split() for line in read_example("container").splitlines() if line and not line.startswith("#")]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    copied = [one for line in lines if line[0] == "COPY" and not line[1].startswith("--") for one in line[1:-1]]
    assert [one for one in copied if not (ROOT / one).exists()] == []
    assert {project["readme"], project["license-files"][0], "pyproject.toml", "consent_mw", "static"} <= set(copied)
    assert {line[1] for line in lines if line[0] == "FROM"} == {"python:3.11-slim"}
    assert project["requires-python"] == ">=3.11"
    [entry] = [line[1] for line in lines if line[0] == "ENTRYPOINT"]
    assert entry.strip('[]"').rpartition("/")[2] in project["scripts"]
