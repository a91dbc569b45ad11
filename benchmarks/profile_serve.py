"""The sidecar under cProfile: `python profile_serve.py FILE serve …` writes the profile to FILE at the end.

Rule: the product knows nothing of this.
"""

from __future__ import annotations

import cProfile
import sys

from consent_mw.cli import main

if __name__ == "__main__":
    file = sys.argv.pop(1)
    profile = cProfile.Profile()
    try:
        profile.runcall(main)
    finally:
        profile.dump_stats(file)
