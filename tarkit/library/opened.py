"""``open_image`` opens an image at any location."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING

from tarkit.copying.options import CopyOptions, CopyResult
from tarkit.errors import UsageError
from tarkit.findings import Report
from tarkit.image.config import ImageConfig
from tarkit.image.digest import Digest
from tarkit.image.manifest import Manifest, RawManifest
from tarkit.image.platform import Platform
from tarkit.library.saving import save_image
from tarkit.protocols import Source
from tarkit.rootfs.image_files import ImageFiles
from tarkit.selection.inspect import LayerInfo
from tarkit.selection.select import read_config, select_image
from tarkit.streams.closeable import Closeable
from tarkit.transports.location import AnyLocation, Location, open_reader, to_location
from tarkit.values import replace

if TYPE_CHECKING:
    from tarkit.transports.docker_archive.format import DockerFormat
    from tarkit.transports.registry.options import RegistryOptions


def open_image(
    location: AnyLocation,
    *,
    platform: Platform | str | None = None,
    follow_links: bool = False,
    registry: RegistryOptions | None = None,
) -> OpenImage:
    """Open the image at *location*; a context manager.

    Parameters:

    - *location*: a :class:`~tarkit.transports.location.Location`, its text such as
      ``docker-archive:app.tar:app:1`` or ``docker://host/app:1``, or a plain path, whose format is
      detected.
    - *platform*: the platform to select from an index, also as text such as ``linux/arm64``; by
      default that of this machine.
    - *follow_links*: follow links that lead out of a layout or directory.
    - *registry*: connection options and credentials.

    Returns an :class:`OpenImage`. Its manifest has been read and verified.

    Raises :class:`~tarkit.errors.UsageError` for a malformed location,
    :class:`~tarkit.errors.PathNotFoundError` and :class:`~tarkit.errors.ImageNotFoundError` if
    there is no such path or image, :class:`~tarkit.errors.AmbiguousImageError` if there are several
    and *location* names none, :class:`~tarkit.errors.NotAnImageError` for other files,
    :class:`~tarkit.errors.VerificationError` for damaged ones,
    :class:`~tarkit.errors.AuthenticationError`, and :class:`~tarkit.errors.TransportError`.

    >>> with tarkit.open_image("fixtures/hello.tar") as image:
    ...     str(image.config.platform), len(image.layers), image.files.read_text("/etc/motd")
    ('linux/amd64', 2, 'Welcome.\\n')
    """
    location = to_location(location)
    if isinstance(platform, str):
        platform = Platform.parse(platform)
    with ExitStack() as stack:
        reader = stack.enter_context(
            open_reader(location, follow_links=follow_links, registry=registry)
        )
        source = reader.source(location.name, index=location.index)
        image = OpenImage(source, location, platform, follow_links, registry)
        image._stack.enter_context(stack.pop_all())
    return image


class OpenImage(Closeable):
    """One image of an open container; :func:`open_image` opens it. Close it after use.

    ``source`` is the image for functions such as :func:`~tarkit.copying.engine.copy_image`. If it
    is an index, the other attributes describe the image for the requested platform. They raise
    :class:`~tarkit.errors.VerificationError` if their content is damaged, and ``config``,
    ``layers`` and ``files`` raise :class:`~tarkit.errors.NotAnImageError` for an artifact.

    >>> with tarkit.open_image("fixtures/hello.tar") as image:
    ...     image.names, image.config.labels, str(image.digest)[:14]
    (('hello:latest',), {'org.example.greeting': 'hello'}, 'sha256:aa7408e')
    """

    def __init__(
        self,
        source: Source,
        location: Location,
        platform: Platform | None = None,
        follow_links: bool = False,
        registry: RegistryOptions | None = None,
    ) -> None:
        self.source = source
        self._location = location
        self._platform = platform
        self._follow_links = follow_links
        self._registry = registry
        self._stack = ExitStack()
        self._raw = select_image(source, platform)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the image in its container; empty if it has none."""
        return self.source.names

    @property
    def raw_manifest(self) -> RawManifest:
        """The bytes of the manifest."""
        return self._raw

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest."""
        return Manifest.parse(self._raw)

    @property
    def digest(self) -> Digest:
        """The digest of the manifest."""
        return self._raw.digest

    @cached_property
    def config(self) -> ImageConfig:
        """The config, with the platform, labels, history and diff IDs of the image."""
        where = self.source.where
        data = read_config(self.source, self.manifest)
        self.manifest.require_image(data, where=where)
        config = ImageConfig.parse(data, where=where)
        config.require_layers(len(self.manifest.layers), where=where)
        return config

    @property
    def layers(self) -> tuple[LayerInfo, ...]:
        """The layers, bottom first: the descriptors of the stored blobs and the diff IDs."""
        return tuple(map(LayerInfo, self.manifest.layers, self.config.diff_ids))

    @cached_property
    def files(self) -> ImageFiles:
        """The merged files of all layers.

        The first access reads the headers of all layers; compressed layers are read to the end and
        verified. See :class:`~tarkit.rootfs.layer_data.LayerData` for the cost of reading files.
        """
        return self._stack.enter_context(ImageFiles.of(self.source, platform=self._platform))

    def copy_to(
        self,
        location: AnyLocation,
        options: CopyOptions | None = None,
        *,
        names: Sequence[str] = (),
        docker_format: DockerFormat | None = None,
        registry: RegistryOptions | None = None,
    ) -> CopyResult:
        """Copy the image to *location*, and keep the other images there.

        Parameters:

        - *location*: a transport, path and optional name, such as ``oci:layout:app``.
        - *options*: the options of the copy, by default for this image's platform; with
          ``CopyOptions(all=True)`` the whole index.
        - *names*: further names. If neither *location* nor *names* has one, the copy keeps its
          names.
        - *docker_format*: the format of a docker archive.
        - *registry*: connection options and credentials of the destination.

        Returns the :class:`~tarkit.copying.options.CopyResult`. Raises the errors of
        :func:`~tarkit.transports.location.open_writer` and
        :func:`~tarkit.copying.engine.copy_image`.

        >>> with tarkit.open_image("fixtures/hello.tar") as image:
        ...     image.copy_to("oci:layout:hello").copied
        1
        """
        if options is None and self._platform is not None:
            options = CopyOptions(platforms=(self._platform,))
        elif options is not None and self._platform and not options.all and not options.platforms:
            options = replace(options, platforms=(self._platform,))
        return save_image(
            self.source,
            location,
            options,
            names=names,
            docker_format=docker_format,
            registry=registry,
        ).copy

    def verify(self) -> Report:
        """Recompute all digests, sizes and diff IDs at the location; see :func:`tarkit.verify`.

        Returns the :class:`~tarkit.findings.Report`; it covers all platforms of an index. Raises
        :class:`~tarkit.errors.UsageError` for an image from standard input, which cannot be read
        twice.

        >>> with tarkit.open_image("fixtures/hello.tar") as image:
        ...     image.verify().ok
        True
        """
        from tarkit.verifying.runner import verify

        if self._location.is_stream:
            raise UsageError("standard input cannot be read again", hint="save it to a file first")
        return verify(self._location, follow_links=self._follow_links, registry=self._registry)

    def close(self) -> None:
        """Close the container and all files of the image."""
        self._stack.close()
