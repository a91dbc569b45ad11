"""The sidecar under cProfile: `python profile_serve.py FILE serve …` writes the profile to FILE at the end.

Rule: profiled is what comes after SIGUSR1, so that start-up and warm-up are not in it.
Rule: the product knows nothing of this.
"""

from __future__ import annotations

import cProfile
import signal
import sys

from consent_mw.cli import main

if __name__ == "__main__":
    file = sys.argv.pop(1)
    profile = cProfile.Profile()
    signal.signal(signal.SIGUSR1, lambda number, frame: profile.enable())
    try:
        main()
    finally:
        profile.disable()
        profile.dump_stats(file)
