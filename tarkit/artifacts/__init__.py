"""Building bootable ext4 images from container images, and keeping what was built."""
