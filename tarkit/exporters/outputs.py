"""Outputs of builds, as on the command line: ``type=oci,dest=app.tar,name=app:1``."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Self

from tarkit.errors import PathNotFoundError, RefusedError, UnsupportedError, UsageError
from tarkit.image.media_types import Compression
from tarkit.image.reference import Reference
from tarkit.values import dataclass

_IMAGE = {"name", "compression", "force-compression", "oci-mediatypes", "tar"}
_OPTIONS = {"local": set[str](), "tar": set[str](), "oci": _IMAGE, "docker": _IMAGE}
_LATER = {"image", "registry", "cacheonly"}
_TRUE, _FALSE = (
    {"", "1", "t", "T", "TRUE", "true", "True"},
    {"0", "f", "F", "FALSE", "false", "False"},
)
_COMPRESSIONS = {
    "gzip": Compression.GZIP,
    "zstd": Compression.ZSTD,
    "uncompressed": Compression.NONE,
}


@dataclass(frozen=True, slots=True)
class Output:
    """A destination for the result of a build.

    - ``type``: "local" (a directory), "tar" (the files), "oci" or "docker" (an archive of an image).
    - ``dest``: the path to write, which appears complete or not at all; ``-`` is standard output.
      A directory must not exist or be empty; files are replaced.
    - ``attrs``: for images, ``name`` (several are separated by commas), ``compression`` (gzip, zstd or
      uncompressed), ``force-compression`` (convert the layers of base images, too) and, for "oci",
      ``tar=false`` (write a layout, a directory).

    Raises UnsupportedError for types and attributes of later versions, and UsageError.

    >>> output = tarkit.Output.parse("type=oci,dest=app.tar,name=app:1,compression=zstd")
    >>> output.names
    ('docker.io/library/app:1',)
    """

    type: str
    dest: str
    attrs: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.type in _LATER:
            raise UnsupportedError(
                f"the output type {self.type!r} comes in a later version",
                hint="use local, tar, oci or docker",
            )
        if self.type not in _OPTIONS:
            raise UsageError(
                f"unknown output type {self.type[:80]!r}", hint="use local, tar, oci or docker"
            )
        if not self.dest:
            raise UsageError(f"the output of type {self.type} has no dest", hint="add dest=PATH")
        if self.dest == "-" and not self.is_file:
            raise UsageError("a directory cannot be written to standard output", where=str(self))
        for name in self.attrs:
            if name not in _OPTIONS[self.type]:
                raise UnsupportedError(f"unknown option {name[:80]!r}", where=str(self))
        if "\0" in self.dest:
            raise UsageError("null character in a path", where=str(self))
        _ = self.names, self.compression, self.force_compression, self.is_file  # parsed once now

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``type=TYPE,dest=PATH,NAME=VALUE…``, or a path alone: a directory, or - for a tar.

        A part with a comma is quoted: ``"name=a,b"``. Raises as the class.
        """
        try:
            parts = next(csv.reader([text], strict=True), [])
        except csv.Error as error:
            raise UsageError(f"malformed output {text[:160]!r}: {error}") from None
        if len(parts) == 1 and "=" not in parts[0]:
            return cls("tar" if text == "-" else "local", text)
        attrs: dict[str, str] = {}
        for part in parts:
            name, equals, value = part.partition("=")
            if not equals or not name:
                raise UsageError(
                    f"malformed output {text[:160]!r}", hint="write type=oci,dest=PATH"
                )
            attrs[name.strip().lower()] = value
        if "type" not in attrs:
            raise UsageError(
                f"no type in the output {text[:160]!r}", hint="write type=oci,dest=PATH"
            )
        return cls(attrs.pop("type"), attrs.pop("dest", ""), attrs)

    @property
    def is_file(self) -> bool:
        """Whether the output is one file."""
        return self.type == "tar" or (self.type in ("oci", "docker") and self._flag("tar", True))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the image, normalized."""
        given = [name for name in self.attrs.get("name", "").split(",") if name]
        return tuple(str(Reference.parse(name).tagged()) for name in given)

    @property
    def compression(self) -> Compression:
        """The compression of layers that have no blob yet."""
        name = self.attrs.get("compression", "gzip")
        if name not in _COMPRESSIONS:
            raise UsageError(
                f"unsupported compression {name[:80]!r}", where=str(self),
                hint="use gzip, zstd or uncompressed",
            )  # fmt: skip
        return _COMPRESSIONS[name]

    @property
    def force_compression(self) -> bool:
        """Whether layers in another compression are converted."""
        return self._flag("force-compression", False)

    def check(self) -> None:
        """Raise an error that is known before the build: a missing directory, an occupied output."""
        if self.dest == "-":
            return
        path = Path(self.dest).absolute()
        if not path.parent.is_dir():
            raise PathNotFoundError("no such directory", where=str(path.parent))
        if self.is_file and path.is_dir():
            raise RefusedError("is a directory", where=self.dest)
        if self.type == "local" and path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise RefusedError("exists and is not an empty directory", where=self.dest)

    def _flag(self, name: str, default: bool) -> bool:
        value = self.attrs.get(name)
        if value is None:
            return default
        if value not in _TRUE | _FALSE:
            raise UsageError(f"{name}={value[:80]} is neither true nor false", where=str(self))
        return value in _TRUE

    def __str__(self) -> str:
        return f"type={self.type},dest={self.dest}"
