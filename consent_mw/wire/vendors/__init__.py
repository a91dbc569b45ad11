"""One pure file for each kind of vendor: permits to request bytes, response to outcomes."""
