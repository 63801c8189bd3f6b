"""Content by its digest, in a directory."""
