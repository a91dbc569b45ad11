"""BYTES. Pure and sans-I/O: header values and body chunks in, the same out."""
