"""A root filesystem that can be changed; the changes are staged in a directory."""
