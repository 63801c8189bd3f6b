"""Collect the origins of vertices for a definition."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from tarkit.llb.messages import Definition, Location, Locations, Source, SourceInfo
from tarkit.llb.sourcemaps import Caller, SourceLocation, SourceMap, lines
from tarkit.llb.vertices import Encoded


class Origins:
    """Source files and locations, as vertices are encoded.

    With *record_lines*, a vertex without a location of its own has the line of Python that made it;
    with *include_source*, the definition contains the text of these files.
    """

    def __init__(self, *, record_lines: bool, include_source: bool) -> None:
        self._record_lines, self._include_source = record_lines, include_source
        self._maps: list[SourceMap] = []
        self._files: dict[str, SourceMap] = {}
        self._locations: dict[str, list[Location]] = {}

    def add(self, vertex: Encoded) -> None:
        """Add the locations of *vertex*."""
        locations: Iterable[SourceLocation] = vertex.locations
        if not locations and self._record_lines and vertex.caller is not None:
            locations = [self._line(vertex.caller)]
        found = self._locations.setdefault(vertex.digest, [])
        for location in locations:
            message = Location(source_index=self._index(location.source), ranges=location.ranges)
            if message not in found:
                found.append(message)

    def _index(self, source: SourceMap) -> int:
        if source not in self._maps:
            self._maps.append(source)
        return self._maps.index(source)

    def _line(self, caller: Caller) -> SourceLocation:
        source = self._files.get(caller.filename)
        if source is None:
            data = _text(caller.filename) if self._include_source else b""
            source = SourceMap(_shown(caller.filename), data, "Python")
            self._files[caller.filename] = source
        return source.location(lines(caller.line))

    def message(self, marshal: Callable[[object], Definition]) -> Source:
        """Return the message; *marshal* gives the definition of a state that contains a file."""
        infos = [
            SourceInfo(
                filename=source.filename,
                data=source.data,
                language=source.language,
                definition=None if source.state is None else marshal(source.state),
            )
            for source in self._maps
        ]
        locations = {
            digest: Locations(locations=found) for digest, found in self._locations.items()
        }
        return Source(locations=locations, infos=infos)


def _shown(filename: str) -> str:
    """Return *filename* without directories that others need not know."""
    path = os.path.relpath(filename) if os.path.isabs(filename) else filename
    return os.path.basename(filename) if path.startswith(os.pardir) else path


def _text(filename: str) -> bytes:
    """Return the content of *filename*, nothing if it cannot be read: it may be no file at all."""
    try:
        with open(filename, "rb") as file:
            return file.read()
    except OSError:
        return b""
