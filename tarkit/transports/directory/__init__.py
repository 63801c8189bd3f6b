"""One image in a directory, in the format of skopeo's ``dir:`` transport."""
