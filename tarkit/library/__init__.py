"""The front door for programs: open an image, and save it anywhere."""
