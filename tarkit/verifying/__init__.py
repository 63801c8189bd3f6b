"""Verify containers of images; recompute every claim, independently of the code that copies."""
