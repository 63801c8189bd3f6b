"""Where images come from and go to: a package for each kind of place."""
