"""Changes to a root filesystem, applied on top of the image's layers."""
