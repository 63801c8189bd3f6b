"""One image as loose files, as skopeo's ``dir:`` writes it."""
