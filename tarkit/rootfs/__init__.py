"""Layers as files: one merged tree, its contents, changes on top of it, and what it is written as."""
