"""The visitor's routes (SPEC 6): a Starlette app that both forms of consent_mw hand their own paths to."""
