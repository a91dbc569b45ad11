"""The demonstration: a small site, a receiving analytics endpoint, a page to visit from, and a drive."""
