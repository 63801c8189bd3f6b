"""Bytes on the move: verified reading, codecs, atomic files, work in parallel.

Of images it knows how digests and compressions are called, and nothing else.
"""

CHUNK_SIZE = 256 << 10
"""Bytes read, hashed and written at a time: what the next stage finds in its processor's cache (256 KiB)."""
