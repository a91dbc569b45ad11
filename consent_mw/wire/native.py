"""The native core: the hot paths of wire/ in C, where they were built; None elsewhere, and all is as it was, slower.

Rule: the Python beside each use is the definition; what is native answers the same, or None for what is unusual.
Rule: nothing but this file imports `_native` and `_html`, and nothing above wire/ can tell whether it is there.
"""

from __future__ import annotations

import os
from typing import Final

PURE: Final = "CONSENT_MW_PURE"
"""The environment variable that leaves the native core out where it is `1`."""

VERSION: Final = 7
"""What _native.c must say that it is: a build of other source is not used."""

try:
    if os.environ.get(PURE) == "1":
        raise ImportError("the native core was not asked for")
    from consent_mw.wire import _native

    if _native.VERSION != VERSION:
        raise ImportError("the native core was built of other source")
except ImportError:
    _native = None  # type: ignore[assignment]  # it is a module wherever it is anything

native = _native

HTML_VERSION: Final = 1
"""What _html.c must say that it is."""

try:
    if os.environ.get(PURE) == "1":
        raise ImportError("the native core was not asked for")
    from consent_mw.wire import _html

    if _html.VERSION != HTML_VERSION:
        raise ImportError("the native core was built of other source")
except ImportError:
    _html = None  # type: ignore[assignment]  # it is a module wherever it is anything

html = _html
