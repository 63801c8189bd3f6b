"""OCI image layouts in a directory: ``oci:DIR[:NAME|:@N]``."""
