"""``tarkit inspect SRC``."""

from __future__ import annotations

from typing import Annotated

import typer

from tarkit.cli.combinations import check_reading
from tarkit.cli.common import (
    Debug,
    FollowLinks,
    Json,
    PlatformOption,
    Quiet,
    SourceArgument,
    described,
    platform_text,
    print_json,
    size_text,
    table,
)
from tarkit.cli.registry import AuthFile, CertDir, Creds, TlsVerify, registry_options
from tarkit.errors import UsageError
from tarkit.image.manifest import Manifest
from tarkit.image.platform import Platform
from tarkit.protocols import Source
from tarkit.selection.inspect import ImageInfo, inspect_image
from tarkit.selection.select import read_config, select_image
from tarkit.streams.chunks import write_all
from tarkit.streams.standard import standard_output
from tarkit.transports.location import Location, open_source


def inspect_command(
    source: SourceArgument,
    raw: Annotated[bool, typer.Option("--raw", help="Print the manifest byte for byte.")] = False,
    config: Annotated[
        bool, typer.Option("--config", help="Print the config byte for byte.")
    ] = False,
    platform: PlatformOption = None,
    follow_links: FollowLinks = False,
    creds: Creds = None,
    authfile: AuthFile = None,
    tls_verify: TlsVerify = True,
    cert_dir: CertDir = None,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Show the name, digests, platform, labels and layers of an image."""
    if raw and config:
        raise UsageError("--raw and --config are mutually exclusive")
    if (raw or config) and json_output:
        raise UsageError("--json does not apply to --raw and --config, which print stored bytes")
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
    with open_source(
        location, metadata_only=True, follow_links=follow_links, registry=registry
    ) as image:
        if raw or config:
            _write_bytes(image, platform, config=config)
            return
        info = inspect_image(image, platform)
    if json_output:
        print_json(_as_json(info))
    else:
        _print(info)


def _write_bytes(image: Source, platform: Platform | None, *, config: bool) -> None:
    if config:
        data = read_config(image, Manifest.parse(select_image(image, platform)))
    else:
        data = (select_image(image, platform) if platform else image.manifest()).data
    write_all(standard_output(), data)


def _as_json(info: ImageInfo) -> dict[str, object]:
    document: dict[str, object] = {
        "name": info.name or None,
        "digest": str(info.descriptor.digest),
        "media_type": info.descriptor.media_type,
        "platform": platform_text(info.stated_platform or info.platform),
        "config_digest": str(info.config.digest) if info.config else None,
        "created": info.created or None,
        "labels": dict(info.labels),
        "layers": [
            described(layer.descriptor) | {"diff_id": str(layer.diff_id) if layer.diff_id else None}
            for layer in info.layers
        ],
    }
    if _is_contradicted(info):
        document["config_platform"] = platform_text(info.platform)
    if info.manifests:
        document["manifests"] = [
            described(child) | {"platform": platform_text(child.platform)}
            for child in info.manifests
        ]
    return document


def _is_contradicted(info: ImageInfo) -> bool:
    """Return whether the index and the config state different platforms."""
    stated, found = info.stated_platform, info.platform
    return bool(stated and found and stated.contradicts(found))


def _platform(info: ImageInfo) -> str:
    text = platform_text(info.stated_platform or info.platform) or ""
    return f"{text} (its config says {info.platform})" if _is_contradicted(info) else text


def _print(info: ImageInfo) -> None:
    facts = [
        ("Name", info.name or "<none>"),
        ("Digest", str(info.descriptor.digest)),
        ("Media type", info.descriptor.media_type),
        ("Platform", _platform(info)),
        ("Config", str(info.config.digest) if info.config else ""),
        ("Created", info.created),
        *((f"Label {key}", value) for key, value in sorted(info.labels.items())),
    ]
    print(table([fact for fact in facts if fact[1]]))
    if info.layers:
        rows = [("LAYER", "SIZE", "DIFF ID")]
        for layer in info.layers:
            size = size_text(layer.descriptor.size)
            rows.append((str(layer.descriptor.digest), size, str(layer.diff_id or "")))
        print("\n" + table(rows))
    if info.manifests:
        rows = [("MANIFEST", "SIZE", "PLATFORM")]
        for child in info.manifests:
            platform = platform_text(child.platform) or ""
            rows.append((str(child.digest), size_text(child.size), platform))
        print("\n" + table(rows))
