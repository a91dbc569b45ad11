"""Runs `consent-mw` with other constants than its modules have: `launch.py '{"module": {"NAME": 1}}' serve …`."""

from __future__ import annotations

import importlib
import json
import sys

from consent_mw.cli import main


def change(constants: dict[str, dict[str, float]]) -> None:
    """Set these constants; a name that is not there is an error, so that no test goes on without its change."""
    for module, values in constants.items():
        found = importlib.import_module(module)
        for name, value in values.items():
            if not hasattr(found, name):
                raise SystemExit(f"{module} has no {name}")
            setattr(found, name, value)


if __name__ == "__main__":
    change(json.loads(sys.argv.pop(1)))
    main()
