"""A directory of content-addressed blobs."""
