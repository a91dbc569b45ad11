"""The store behind one interface: receipts, outbox, ledger, statistics."""
