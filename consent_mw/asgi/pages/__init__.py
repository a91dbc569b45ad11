"""What a visitor reads: the banner and the pages, as pure functions from a policy and a decision to bytes."""

from consent_mw.asgi.pages.banner import banner_markup
from consent_mw.asgi.pages.policy import policy_page
from consent_mw.asgi.pages.preferences import preferences_page
from consent_mw.asgi.pages.receipts import data_page, receipts_page
from consent_mw.asgi.pages.shell import Links, message_page

__all__ = [
    "Links",
    "banner_markup",
    "data_page",
    "message_page",
    "policy_page",
    "preferences_page",
    "receipts_page",
]
