"""Archives of ``docker save`` and ``docker load``: ``docker-archive:FILE[:NAME|:@N]``."""
