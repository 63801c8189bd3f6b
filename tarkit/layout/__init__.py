"""OCI image layouts (image-layout.md), wherever their files are: in a directory or in a tar."""
