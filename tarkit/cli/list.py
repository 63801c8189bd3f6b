"""``tarkit list SRC``."""

from __future__ import annotations

from dataclasses import dataclass

from tarkit.cli.common import Debug, Json, Quiet, SourceArgument, platform_text, print_json, table
from tarkit.cli.registry import AuthFile, CertDir, Creds, TlsVerify, registry_options
from tarkit.image.descriptor import Descriptor
from tarkit.reading.inspect import inspect_image
from tarkit.transports.base import ImageEntry, Reader
from tarkit.transports.location import Location, Transport, open_reader

_REMOTE = (Transport.REGISTRY, Transport.DOCKER_DAEMON)  # where each look at an image is dear


@dataclass(frozen=True, slots=True)
class _Row:
    entry: ImageEntry
    descriptor: Descriptor | None = None
    platforms: tuple[str, ...] = ()


def list_command(
    source: SourceArgument,
    creds: Creds = None,
    authfile: AuthFile = None,
    tls_verify: TlsVerify = True,
    cert_dir: CertDir = None,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """List the images in an archive, layout, directory, repository or Docker daemon."""
    location = Location.parse(source)
    registry = registry_options(location, creds, authfile, tls_verify, cert_dir)
    with open_reader(location, metadata_only=True, registry=registry) as reader:
        remote = location.transport in _REMOTE
        rows = [_Row(e) if remote else _row(reader, e) for e in reader.images()]
    if json_output:
        print_json({"images": [_as_json(row) for row in rows]})
        return
    lines = [("INDEX", "NAME", "DIGEST", "PLATFORMS")]
    for row in rows:
        for name in row.entry.names or ("<none>",):
            digest = str(row.descriptor.digest) if row.descriptor else ""
            lines.append((f"@{row.entry.index}", name, digest, ", ".join(row.platforms)))
    print(table(lines))


def _row(reader: Reader, entry: ImageEntry) -> _Row:
    info = inspect_image(reader.source(index=entry.index))
    platforms = [info.platform] if info.platform else [m.platform for m in info.manifests]
    texts = dict.fromkeys(text for p in platforms if (text := platform_text(p)))
    return _Row(entry, info.descriptor, tuple(texts))


def _as_json(row: _Row) -> dict[str, object]:
    return {
        "name": row.entry.names[0] if row.entry.names else None,
        "names": list(row.entry.names),
        "index": row.entry.index,
        "digest": str(row.descriptor.digest) if row.descriptor else None,
        "media_type": row.descriptor.media_type if row.descriptor else None,
        "platforms": list(row.platforms),
    }
