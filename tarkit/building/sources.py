"""What is built from: an image that is open already, or the place of one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

from tarkit.transports.base import Source
from tarkit.transports.location import Location, open_source

AnySource: TypeAlias = Source | Location | str
"""An image of an open reader, or where one is."""


@contextmanager
def opened(source: AnySource) -> Iterator[Source]:
    """*source* itself, or the image that is there, open as long as the block lasts."""
    if isinstance(source, Location | str):
        with open_source(source) as image:
            yield image
    else:
        yield source
