"""`make screenshots`: the banner and the pages as README shows them, phone and desktop, light and dark."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from tests.journeys.chromium import a_browser, a_visitor
from tests.journeys.pages import LOCAL_POLICY, a_page, some_pages
from tests.journeys.palette import with_palette
from tests.journeys.sidecar import serving
from tests.journeys.site import BERLIN

FOLDER = Path(__file__).resolve().parents[1] / "screenshots"
LARGEST = 60_000
"""Bytes that a picture may have."""

POLICY = (
    LOCAL_POLICY.replace('"Example"', '"Oak Tables"')
    + """
[vendor.insights]
kind = "webhook"
purpose = "analytics"
endpoint = "http://127.0.0.1:9/in"
fields = ["event", "time", "page_path", "ip_truncated", "country"]
fields_in.eea_uk = ["event", "time", "page_path", "country"]
country = "US"
transfer_basis = "DPF"
"""
)
STYLE = """<style>
body { margin: 0; font: 1.125rem/1.6 system-ui, sans-serif; background: #faf7f2; color: #2a2118 }
main { max-width: 44rem; margin: 0 auto; padding: 2rem 1.25rem }
@media (prefers-color-scheme: dark) { body { background: #1d1915; color: #efe6da } }
</style>"""
SHOP = (
    "<main><h1>Oak tables, made to last</h1><p>Each of our tables is cut, joined and oiled by two people in one "
    "workshop. Choose a length; we do the rest, and bring it to your door.</p><p>From the trunk to the table takes "
    "us nine weeks. You may visit it while it grows.</p></main>"
)
SCREENS: dict[str, dict[str, Any]] = {
    "desktop": {"width": 1000, "height": 560},
    "phone": {"width": 360, "height": 700},
}
PAGES = {
    "banner": "/", "preferences": "/_consent/preferences", "policy": "/_consent/policy", "data": "/_consent/data",
}  # fmt: skip


def main() -> None:
    """Take every picture; raises where one is too large to be kept."""
    FOLDER.mkdir(exist_ok=True)
    with some_pages() as pages, tempfile.TemporaryDirectory() as folder:
        pages.pages["/"] = a_page(SHOP, head=STYLE)
        with serving(Path(folder), POLICY, pages.url) as where, a_browser("--disable-lcd-text") as browser:
            for screen, size in SCREENS.items():
                for scheme in ("light", "dark"):
                    with a_visitor(browser, BERLIN, color_scheme=scheme, **size) as visitor:
                        page = visitor.new_page()
                        for name, path in PAGES.items():
                            page.goto(where + path)
                            page.wait_for_timeout(200)
                            file = FOLDER / f"{name}-{screen}-{scheme}.png"
                            file.write_bytes(with_palette(page.screenshot()))
                            if file.stat().st_size > LARGEST:
                                raise ValueError(f"{file.name} has {file.stat().st_size} bytes")


if __name__ == "__main__":
    main()
