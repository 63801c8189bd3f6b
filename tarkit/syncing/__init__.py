"""Move many images between locations in one operation."""
