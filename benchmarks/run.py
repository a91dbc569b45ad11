"""All benchmarks in their order, or some: `python benchmarks/run.py [PART…]`; `make bench` installs what is needed.

Rule: each part is a program of its own, so that none finds another's caches warm.
Rule: a part that cannot be measured here says why, and the others go on.
Rule: a native core that is there no longer, as after an update of its source, does not pass for a slow one.
Rule: what a part found replaces what it found before in `results.json`; the other parts stay, each with its date.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from cases import versions
from machine import HERE, description
from plot import plots_of
from table import shown

from consent_mw.wire.native import PURE, native

WITHIN = 3600.0
"""Seconds after which a part is ended."""

RESULTS = HERE / "results.json"
PLOTS = HERE / "plots"

PARTS: dict[str, tuple[str, ...]] = {
    "middleware": ("middleware.py", "--rounds", "3"),
    "service": ("service.py", "--rounds", "3"),
    "sidecar": ("sidecar.py", "--rounds", "3"),
    "events": ("events.py", "--rounds", "3", "--outage", "100000"),
    "content": ("content.py", "--rounds", "5"),
    "growth": ("growth.py", "--rounds", "5"),
    "tools": ("tools.py", "--rounds", "3"),
    "memory": ("memory.py", "--requests", "200000", "--chunk", "20000"),
}
"""What is run for each part, in this order: some minutes for all. Options that are given come after these."""


def main() -> int:
    """Run the parts; 1 where one failed, 0 otherwise (a target that is not met is a finding, not a failure)."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"any of {', '.join(PARTS)} (default: all)")
    options, more = parser.parse_known_args()
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if more and len(options.parts) != 1:
        parser.error(f"{more[0]} is for one part, and none or several are named")
    if native is None and os.environ.get(PURE) != "1":
        parser.error(f"the native core is not in use: `make bench` builds it, and {PURE}=1 measures without it")
    failed = [name for name in options.parts or PARTS if not ran(name, more)]
    found = kept()
    print("\n" + "\n".join(verdicts(found)))
    PLOTS.mkdir(exist_ok=True)
    for name, svg in plots_of(found).items():
        (PLOTS / f"{name}.svg").write_text(svg, "utf-8")
    print(
        f"\nwritten to {RESULTS} and {PLOTS}; into README by: python benchmarks/table.py {RESULTS} --into README.md"
    )
    if failed:
        sys.stderr.write(f"could not be measured: {', '.join(failed)}\n")
    return int(bool(failed))


def ran(name: str, more: list[str]) -> bool:
    """Whether this part ran; what it found is kept."""
    script, *usual = PARTS[name]
    print(f"\n== {name}", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "found.json"
        command = [sys.executable, str(HERE / script), *usual, *more, "--out", str(out)]
        try:
            code = subprocess.run(command, timeout=WITHIN, check=False, env=environment()).returncode
        except subprocess.TimeoutExpired:
            return False
        if code or not out.exists():
            return False
        part = json.loads(out.read_text("utf-8"))
    part["seconds"] = round(time.monotonic() - began)
    part.setdefault("at", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    found = kept()
    found["parts"][name] = part
    found["parts"] = {one: found["parts"][one] for one in PARTS if one in found["parts"]}
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    return True


def environment() -> dict[str, str]:
    """Without what would change the figures unseen."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CONSENT_MW_LEDGER")}


def kept() -> dict[str, Any]:
    """What was found so far, with what is true of this machine now."""
    try:
        found: dict[str, Any] = json.loads(RESULTS.read_text("utf-8"))
    except (OSError, ValueError):
        found = {"parts": {}}
    return {"machine": description(), "versions": versions(), "parts": found["parts"]}


def verdicts(found: dict[str, Any]) -> list[str]:
    """Every target of every part, as its table has it."""
    lines = ["| part | target | wanted | measured | by CPU | |", "|---|---|---|---|---|---|"]
    for name, part in found["parts"].items():
        lines += [f"| {name} {line}" for line in shown(part).splitlines() if line.startswith("| ") and judged(line)]
    return lines


def judged(line: str) -> bool:
    """Whether this row of a table is a verdict."""
    return line.rpartition(" |")[0].endswith(("| met", "| **not met**", "| not measured"))


if __name__ == "__main__":
    sys.exit(main())
