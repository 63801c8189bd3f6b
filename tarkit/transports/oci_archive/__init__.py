"""OCI image layouts in a tar archive: ``oci-archive:FILE[:NAME|:@N]``."""
