"""tarkit: container images that are files, read, verified, converted and moved."""

__version__ = "0.1.0"
