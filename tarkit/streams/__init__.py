"""Bytes on the move: verified reading, codecs, atomic files, work in parallel. Knows nothing of images."""

CHUNK_SIZE = 1 << 20
"""Bytes read, hashed, compressed and written at a time (1 MiB)."""
