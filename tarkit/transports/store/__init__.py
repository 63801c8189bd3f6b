"""Images in a store (:mod:`tarkit.store`)."""
