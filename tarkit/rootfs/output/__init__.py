"""Write a root filesystem as a directory, tar, squashfs or erofs."""
