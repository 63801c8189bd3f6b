"""Collect the origins of vertices for a definition."""

from __future__ import annotations

import os.path
from collections.abc import Callable
from pathlib import Path

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
        self._maps: dict[SourceMap, int] = {}
        self._files: dict[str, SourceMap] = {}
        self._lines: dict[Caller, Location] = {}
        self._locations: dict[str, list[Location]] = {}

    def add(self, vertex: Encoded) -> None:
        """Add the locations of *vertex*."""
        found = self._locations.setdefault(vertex.digest, [])
        if vertex.locations:
            found += [self._message(location) for location in vertex.locations]
        elif self._record_lines and vertex.caller is not None:
            message = self._line(vertex.caller)
            if message not in found:
                found.append(message)

    def _message(self, location: SourceLocation) -> Location:
        index = self._maps.setdefault(location.source, len(self._maps))
        return Location(source_index=index, ranges=location.ranges)

    def _line(self, caller: Caller) -> Location:
        message = self._lines.get(caller)
        if message is None:
            location = self._file(caller.filename).location(lines(caller.line))
            message = self._lines[caller] = self._message(location)
        return message

    def _file(self, filename: str) -> SourceMap:
        source = self._files.get(filename)
        if source is None:
            data = _text(filename) if self._include_source else b""
            source = self._files[filename] = SourceMap(_shown(filename), data, "Python")
        return source

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
    path = os.path.relpath(filename)
    return Path(filename).name if path.startswith(os.pardir) else path


def _text(filename: str) -> bytes:
    """Return the content of *filename*, nothing if it cannot be read: it may be no file at all."""
    try:
        return Path(filename).read_bytes()
    except OSError:
        return b""
