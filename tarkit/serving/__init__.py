"""A registry over images in files (distribution-spec 1.1), for any client on this machine."""
