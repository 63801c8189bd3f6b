"""Root filesystems: merge layers into one tree, read it, change it and write it out."""
