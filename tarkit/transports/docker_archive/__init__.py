"""What ``docker save`` writes and ``docker load`` reads: ``docker-archive:FILE[:NAME|:@N]``."""
