"""Readers and writers for each kind of image location, one package per transport."""
