"""Build images from directories, tars and files."""
