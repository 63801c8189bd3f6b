"""What can be said against a build before the long work begins."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from tarkit.errors import NoSpaceError, PathNotFoundError, RefusedError
from tarkit.ext4 import Ext4Options
from tarkit.image.platform import Platform
from tarkit.rootfs.layers import ImageLayers
from tarkit.streams.atomic import output_path
from tarkit.streams.os_errors import os_errors
from tarkit.transports.location import AnySource, opened


@dataclass(frozen=True, slots=True)
class Preflight:
    """What a build begins with, in bytes: its layers as they are stored, and the space that is free
    where the image is to be."""

    compressed_size: int
    free_space: int

    @property
    def is_tight(self) -> bool:
        """Whether a build will hardly fit; it may still, as upper layers hide what is below."""
        return self.free_space < self.compressed_size

    def require(self, needed: int, where: object) -> None:
        """Raise :class:`NoSpaceError` where fewer than *needed* bytes are free."""
        if self.free_space < needed:
            raise NoSpaceError(
                f"at least {needed} bytes are needed, and {self.free_space} are free",
                where=str(where),
            )


def check_build(
    source: AnySource,
    output: Path,
    options: Ext4Options | None = None,
    *,
    platform: Platform | None = None,
) -> Preflight:
    """Look at everything that could make :func:`~tarkit.artifacts.build.build_ext4` fail late.

    Only manifest and config are read. Raises what reading those may bring,
    :class:`ImageNotFoundError` where there is no image for *platform*,
    :class:`PathNotFoundError` where the directory of *output* is not there,
    :class:`RefusedError` where it cannot be written to or *output* is no regular file, and
    :class:`NoSpaceError` where not even the top layer would fit, as it is stored, or not the size
    that is to be set aside.
    """
    with opened(source) as image:
        layers = ImageLayers.of(image, platform)
        target = output_path(output)
        preflight = check_layers(layers, target, options or Ext4Options())
        preflight.require(layers.layers[-1].descriptor.size if layers.layers else 0, target.parent)
        return preflight


def check_layers(layers: ImageLayers, output: Path, options: Ext4Options) -> Preflight:
    """As :func:`check_build`, for the open *layers* of an image and a path without links.

    How much room the layers take is for the build to find out, which knows what hides what.
    """
    directory = output.parent
    if not directory.is_dir():
        raise PathNotFoundError("no such directory", where=str(directory))
    if not os.access(directory, os.W_OK | os.X_OK):
        raise RefusedError("the directory cannot be written to", where=str(directory))
    with os_errors(directory):
        free = shutil.disk_usage(directory).free
    blobs = {layer.descriptor.digest: layer.descriptor.size for layer in layers.layers}
    preflight = Preflight(sum(blobs.values()), free)
    if isinstance(options.size, int) and not options.sparse:
        preflight.require(options.size, directory)
    return preflight
