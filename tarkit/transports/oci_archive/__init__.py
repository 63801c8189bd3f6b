"""OCI image layouts in a tar: ``oci-archive:FILE[:NAME|:@N]``."""
