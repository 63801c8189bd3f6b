"""Readers and writers for every kind of image location, one package per transport."""
