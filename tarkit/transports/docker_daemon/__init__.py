"""Docker daemon images, over the Engine API: ``docker-daemon:NAME[:TAG]``, ``docker-daemon:sha256:ID``."""
