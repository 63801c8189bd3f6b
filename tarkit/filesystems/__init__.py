"""Images as filesystems of other programs: fsspec and FUSE."""
