"""Pages as they stream: where the banner goes in, and what of a page a decision lets run.

Rule: the names that others use are these; what is in the files behind them is theirs alone.
"""

from consent_mw.wire.html.charsets import insertable, settled
from consent_mw.wire.html.editing import PageEditor, concerns
from consent_mw.wire.html.gating import Gating
from consent_mw.wire.html.hosts import Hosts
from consent_mw.wire.html.insertion import BannerInserter, Markup
from consent_mw.wire.html.scanner import PageGate

__all__ = [
    "BannerInserter", "Gating", "Hosts", "Markup", "PageEditor", "PageGate", "concerns", "insertable", "settled",
]  # fmt: skip
