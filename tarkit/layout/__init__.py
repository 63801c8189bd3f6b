"""OCI image layouts (image-spec image-layout.md), in a directory or in a tar archive."""
