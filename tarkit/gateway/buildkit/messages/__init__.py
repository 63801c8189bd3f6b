"""The messages of BuildKit's services, by service."""
