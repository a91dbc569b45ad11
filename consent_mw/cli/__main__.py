"""`python -m consent_mw.cli` is `consent-mw`."""

import sys

from consent_mw.cli import run

sys.exit(run(sys.argv[1:]))
