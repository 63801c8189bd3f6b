"""Everything an archive, layout or directory claims, recomputed; by paths of its own, not those of a copy."""
