"""What a Source holds, seen as an image: the one that is meant, and what there is to know of it."""
