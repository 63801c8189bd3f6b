"""The services of a session: handlers of the daemon's calls, by method."""
