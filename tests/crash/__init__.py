"""The crash run: the real thing is killed at random moments under load, and what it had promised is looked for.

`make crash` runs it; `site` is what it serves, `vendors` receives, `service` starts and kills, `visitors` visit and
keep the book of what was promised, `verdict` compares the two (with what is `kept`).
"""
