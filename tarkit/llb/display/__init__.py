"""Definitions for people: as JSON, as a graph for Graphviz, and as a picture."""
