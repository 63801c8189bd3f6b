"""Build bootable ext4 images from container images, and keep them in a store."""
