"""Build definitions of BuildKit."""
