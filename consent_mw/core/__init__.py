"""RULES. Values in, values out: no async, I/O, clock, randomness or logging; `now` arrives as data."""
