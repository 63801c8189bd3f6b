"""The part of a state that operations refer to."""

from __future__ import annotations

from tarkit.llb.environment import Environment
from tarkit.llb.vertices import Output


class Tree:
    """A file system at some point of the graph, and the values for processes that run in it.

    ``output`` is None for an empty file system (scratch).
    """

    __slots__ = ("environment", "output")

    def __init__(self, output: Output | None = None, environment: Environment | None = None):
        self.output = output
        self.environment = environment or Environment()
