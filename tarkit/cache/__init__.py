"""Refs: results that are kept, shared and combined, each a chain of layers in a store."""
