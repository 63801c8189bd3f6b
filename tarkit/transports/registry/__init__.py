"""Registries over HTTP (OCI distribution-spec 1.1): ``docker://NAME``."""
