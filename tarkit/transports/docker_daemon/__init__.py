"""Images of a Docker daemon, by its Engine API: ``docker-daemon:NAME[:TAG]`` or an image ID."""
