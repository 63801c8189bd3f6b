"""The nouns of container images, as frozen values without I/O; raw bytes and unknown fields are kept."""
