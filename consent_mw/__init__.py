"""consent_mw: a consent firewall for websites, as ASGI middleware or as a reverse-proxy sidecar."""
