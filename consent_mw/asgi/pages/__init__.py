"""What a visitor reads: the banner and the pages, as pure functions from a policy and a decision to bytes."""

from consent_mw.asgi.pages.banner import Banner, banner_of
from consent_mw.asgi.pages.fragment import fragment_page
from consent_mw.asgi.pages.frame import frame_page
from consent_mw.asgi.pages.policy import policy_page
from consent_mw.asgi.pages.preferences import preferences_page
from consent_mw.asgi.pages.receipts import data_page, receipts_page
from consent_mw.asgi.pages.shell import Links, View, message_page
from consent_mw.asgi.pages.words import Words

__all__ = [
    "Banner",
    "Links",
    "View",
    "Words",
    "banner_of",
    "data_page",
    "fragment_page",
    "frame_page",
    "message_page",
    "policy_page",
    "preferences_page",
    "receipts_page",
]
