"""Write outputs."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from tarkit.copying.engine import copy_image
from tarkit.copying.options import CopyOptions, LayerCompression
from tarkit.errors import UnsupportedError
from tarkit.exporters.images import BuiltImage, BuiltImages, ImageSource
from tarkit.exporters.outputs import Output
from tarkit.image.media_types import Compression
from tarkit.protocols import Source
from tarkit.rootfs.chain import open_chain
from tarkit.rootfs.output.directory import unpack
from tarkit.rootfs.output.tarball import save_tar, stream_tar
from tarkit.streams.standard import standard_output
from tarkit.transports.docker_archive.format import DockerFormat
from tarkit.transports.location import Location, Transport, open_writer


def write_output(output: Output, built: BuiltImages) -> dict[str, str]:
    """Write the results of a build, and return facts about them.

    Raises UnsupportedError if the output cannot hold several images, and the errors of writing.
    """
    if output.type in ("oci", "docker"):
        return _write_image(output, built)
    if built.is_index:
        raise UnsupportedError(
            "several platforms come in a later version", where=str(output), hint="use type=oci"
        )
    if output.type == "local":
        _write_directory(built.images[0], Path(output.dest))
    else:
        _write_tar(built.images[0], output)
    return {}


def _write_directory(image: BuiltImage, path: Path) -> None:
    if image.ref is not None:
        unpack(image.ref.files, path)
        return
    with open_chain([], where="empty") as files:
        unpack(files, path)


def _write_tar(image: BuiltImage, output: Output) -> None:
    source: Source = image.ref or ImageSource(BuiltImages((image,)), Compression.NONE, force=False)
    if output.dest == "-":
        stream_tar(source, standard_output())
    else:
        save_tar(source, Path(output.dest), compression=Compression.NONE)


def _write_image(output: Output, built: BuiltImages) -> dict[str, str]:
    if output.type == "docker" and built.is_index:
        raise UnsupportedError("a docker archive has one image, not an index", where=str(output))
    source = ImageSource(built, output.compression, force=output.force_compression)
    options = CopyOptions(all=built.is_index, compression=LayerCompression.PRESERVE)
    with open_writer(_location(output), docker_format=DockerFormat.DUAL) as writer:
        result = copy_image(source, writer.destination(*output.names), options)
    descriptor = result.descriptor
    response = {
        "containerimage.digest": str(descriptor.digest),
        "containerimage.descriptor": _base64(descriptor.to_json()),
    }
    if not built.is_index:
        response["containerimage.config.digest"] = str(source.configs[0].digest)
    if output.names:
        response["image.name"] = ",".join(output.names)
    return response


def _location(output: Output) -> Location:
    if output.type == "docker":
        return Location(Transport.DOCKER_ARCHIVE, output.dest)
    return Location(Transport.OCI_ARCHIVE if output.is_file else Transport.OCI, output.dest)


def _base64(document: object) -> str:
    return base64.b64encode(json.dumps(document, separators=(",", ":")).encode()).decode()
