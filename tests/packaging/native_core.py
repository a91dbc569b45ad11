"""Builds the optional native core into a wheel, or into the source tree of an editable install.

Rule: without a compiler or Python's headers the wheel is a pure one, and one line says so; never an error.
Rule: nothing is needed but the compiler that this Python names, or `cc`.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import sys_tags

SOURCES = [Path("consent_mw", "wire", name) for name in ("_native.c", "_html.c")]
BUILT = ".abi3.so"
FLAGS = ["-O2", "-fPIC", "-fvisibility=hidden"]


class NativeCore(BuildHookInterface[Any]):
    """Adds the native core to what is built, where it can be compiled."""

    _folder: tempfile.TemporaryDirectory[str] | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and tag the wheel by what came of it."""
        if version != "editable":
            self._folder = tempfile.TemporaryDirectory()
        built: dict[Path, Path] = {}
        for one in SOURCES:
            source = Path(self.root, one)
            folder = source.parent if self._folder is None else Path(self._folder.name)
            target = built[one] = folder / (source.stem + BUILT)
            # What was compiled of an older source must not stay where this one cannot be compiled.
            target.unlink(missing_ok=True)
            missing = compile_native(source, target)
            if missing:
                self.app.display_warning(f"consent_mw is built without its native core: {missing}")
                return
        # What is compiled here is for this machine; whether it is for others of its kind, nobody looked.
        platform = next(tag.platform for tag in sys_tags() if not tag.platform.startswith(("many", "musl")))
        build_data["pure_python"] = False
        build_data["tag"] = f"cp311-abi3-{platform}"
        if version != "editable":
            for one, target in built.items():
                build_data["force_include"][str(target)] = str(one.with_name(target.name))

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Leave nothing behind."""
        if self._folder is not None:
            self._folder.cleanup()


def compile_native(source: Path, target: Path) -> str:
    """Compile the native core; why that cannot be, or nothing."""
    headers = sysconfig.get_path("include")
    if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "it is for CPython with its global lock"
    if os.name == "nt":
        return "it is not built on Windows"
    if not Path(headers, "Python.h").is_file():
        return "Python.h is not here"
    named = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    compiler = named if shutil.which(named[0]) else ["cc"]
    if not shutil.which(compiler[0]):
        return "there is no C compiler"
    # On macOS a module's symbols are found in whatever Python loads it.
    kind = ["-bundle", "-undefined", "dynamic_lookup"] if sys.platform == "darwin" else ["-shared"]
    command = [*compiler, *FLAGS, *kind, "-I", headers, str(source), "-o", str(target)]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=300)
    except (OSError, subprocess.TimeoutExpired):
        return f"`{compiler[0]}` cannot be run"
    if told.returncode:
        target.unlink(missing_ok=True)
        return f"`{compiler[0]}` cannot compile it"
    return ""
