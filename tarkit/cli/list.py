"""``tarkit list SRC``."""

from tarkit.cli.combinations import check_reading
from tarkit.cli.common import (
    Debug,
    FollowLinks,
    Json,
    Quiet,
    SourceArgument,
    StoreOption,
    platform_text,
    print_json,
    table,
)
from tarkit.cli.failures import exit_code
from tarkit.cli.messages import note
from tarkit.cli.registry import AuthFile, CertDir, Creds, TlsVerify, registry_options
from tarkit.errors import RefusedError, TarkitError, VerificationError
from tarkit.image.digest import Digest
from tarkit.layout.layout import LayoutImage
from tarkit.protocols import ImageEntry, Reader, UnreadableImage
from tarkit.selection.entries import selected_entries
from tarkit.selection.inspect import Overview, overview
from tarkit.transports.location import Location, Transport, open_reader
from tarkit.values import dataclass


@dataclass(frozen=True, slots=True)
class _Row:
    entry: ImageEntry
    digest: str = ""
    media_type: str = ""
    platforms: tuple[str, ...] = ()
    error: TarkitError | None = None


def list_command(
    source: SourceArgument,
    follow_links: FollowLinks = False,
    store: StoreOption = None,
    creds: Creds = None,
    authfile: AuthFile = None,
    tls_verify: TlsVerify = True,
    cert_dir: CertDir = None,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> int:
    """List the images in an archive, layout, directory, repository or Docker daemon.

    A name or position in SRC selects one image.
    Broken images are listed and reported, too; the first broken image determines the exit code.
    """
    location = Location.parse(source)
    check_reading(
        location,
        creds=creds,
        authfile=authfile,
        tls_verify=tls_verify,
        cert_dir=cert_dir,
        follow_links=follow_links,
    )
    registry = registry_options(location, creds, authfile, tls_verify, cert_dir)
    with open_reader(
        location, metadata_only=True, follow_links=follow_links, registry=registry
    ) as reader:
        entries = selected_entries(reader, location.name, location.index)
        brief = location.transport is Transport.DOCKER_DAEMON or (
            location.transport is Transport.REGISTRY and location.name is None
        )  # each image costs several requests, or its whole archive
        known: dict[Digest, Overview] = {}
        rows = [_Row(e) if brief else _row(reader, e, known) for e in entries]
    if json_output:
        print_json({"images": [_as_json(row) for row in rows]})
    else:
        _print(rows)
    bad = [row for row in rows if row.error]
    for row in bad:
        note(f"@{row.entry.index}: {row.error}")
    return exit_code(bad[0].error) if bad and bad[0].error else 0


def _row(reader: Reader, entry: ImageEntry, known: dict[Digest, Overview]) -> _Row:
    """Return the row for *entry*; if the image is broken, with its stated digest and the error."""
    try:
        found = overview(reader.source(index=entry.index), known)
    except (VerificationError, RefusedError) as error:
        return _Row(entry, *_stated(entry), error=error)
    texts = dict.fromkeys(text for p in found.platforms if (text := platform_text(p)))
    return _Row(entry, str(found.descriptor.digest), found.descriptor.media_type, tuple(texts))


def _stated(entry: ImageEntry) -> tuple[str, str]:
    if isinstance(entry, LayoutImage):
        return str(entry.descriptor.digest), entry.descriptor.media_type
    return (entry.digest, "") if isinstance(entry, UnreadableImage) else ("", "")


def _print(rows: list[_Row]) -> None:
    lines = [("INDEX", "NAME", "DIGEST", "PLATFORMS")]
    for row in rows:
        for name in row.entry.names or ("<none>",):
            lines.append((f"@{row.entry.index}", name, row.digest, ", ".join(row.platforms)))
    print(table(lines))


def _as_json(row: _Row) -> dict[str, object]:
    document: dict[str, object] = {
        "name": row.entry.names[0] if row.entry.names else None,
        "names": list(row.entry.names),
        "index": row.entry.index,
        "digest": row.digest or None,
        "media_type": row.media_type or None,
        "platforms": list(row.platforms),
    }
    return document | {"error": str(row.error)} if row.error else document
