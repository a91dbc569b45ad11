"""The reverse-proxy data plane and its admin port."""
