"""consent_mw: a consent firewall for websites."""
