"""A directory of content, layers and records that several processes share without a daemon."""
