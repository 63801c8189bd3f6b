"""Building bootable ext4 images from container images, and a store that keeps them."""
