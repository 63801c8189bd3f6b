"""``tarkit inspect SRC``."""

import shlex
from dataclasses import asdict
from typing import Annotated

import typer

from tarkit.cli.common import (
    Debug,
    FollowLinks,
    Json,
    PlatformOption,
    Quiet,
    SourceArgument,
    StoreOption,
    described,
    platform_text,
    print_json,
    size_text,
)
from tarkit.cli.fitting import Row, facts_text, fitted_table, terminal_width
from tarkit.cli.registry import Access
from tarkit.errors import UsageError
from tarkit.image.manifest import Manifest
from tarkit.image.platform import Platform
from tarkit.image.reference import Reference
from tarkit.image.runtime import Runtime
from tarkit.protocols import Reader, Source
from tarkit.selection.inspect import ImageInfo, inspect_image
from tarkit.selection.select import read_config, select_image
from tarkit.streams.chunks import write_all
from tarkit.streams.standard import standard_output
from tarkit.transports.location import Location, Transport, open_reader


def inspect_command(
    source: SourceArgument,
    raw: Annotated[bool, typer.Option("--raw", help="Print the manifest byte for byte.")] = False,
    config: Annotated[
        bool, typer.Option("--config", help="Print the config byte for byte.")
    ] = False,
    template: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            metavar="TEMPLATE",
            help="Print skopeo's fields with a Go template, as in '{{.Digest}}'.",
        ),
    ] = None,
    platform: PlatformOption = None,
    follow_links: FollowLinks = False,
    store: StoreOption = None,
    access: Access = Access(),
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Show the name, digests, platform, settings, layers and history of an image."""
    _require_one(
        {
            "--raw": raw and not config,  # skopeo's way to ask for the config byte for byte
            "--config": config,
            "--json": json_output,
            "--format": template is not None,
        }
    )
    if template is not None:
        from tarkit.selection.template import Template

        Template(template)  # an error in it should not wait for the image
    location = Location.parse(source)
    registry = access.of(location, follow_links=follow_links)
    with open_reader(
        location, metadata_only=True, follow_links=follow_links, registry=registry
    ) as reader:
        image = reader.source(location.name, index=location.index)
        if template is not None:
            text = _formatted(reader, image, location, template, platform)
            print(text, end="" if template.endswith(("\n", r"\n")) else "\n")
            return
        if raw or config:
            _write_bytes(image, platform, config=config)
            return
        info = inspect_image(image, platform)
    if json_output:
        print_json(_as_json(info))
    else:
        _print(info)


def _require_one(options: dict[str, bool]) -> None:
    chosen = [option for option, given in options.items() if given]
    if len(chosen) > 1:
        raise UsageError(f"{' and '.join(chosen)} are mutually exclusive")


def _formatted(
    reader: Reader, image: Source, location: Location, template: str, platform: Platform | None
) -> str:
    name = location.path if location.transport is Transport.REGISTRY else ""
    from tarkit.selection.skopeo import format_image, uses_tags

    tags = _tags(reader) if name and uses_tags(template) else ()
    return format_image(image, template, platform=platform, name=name, tags=tags)


def _tags(reader: Reader) -> list[str]:
    """Return the tags of a repository, of which *reader* lists full names."""
    return [Reference.parse(name).tag for entry in reader.images() for name in entry.names]


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
    if info.layers:
        document["size"] = info.size
        document["unpacked_size"] = info.unpacked_size
    if info.runtime:
        document |= asdict(info.runtime)
        document["history"] = [asdict(step) for step in info.history]
    if info.manifests:
        document["manifests"] = [
            described(child) | {"platform": platform_text(child.platform)}
            for child in info.manifests
        ]
    return document


def _is_contradicted(info: ImageInfo) -> bool:
    """Return True if the index and the config state different platforms."""
    stated, found = info.stated_platform, info.platform
    return bool(stated and found and stated.contradicts(found))


def _platform(info: ImageInfo) -> str:
    text = platform_text(info.stated_platform or info.platform) or ""
    return f"{text} (its config says {info.platform})" if _is_contradicted(info) else text


def _print(info: ImageInfo) -> None:
    width = terminal_width()
    facts = [
        ("Name", info.name or "<none>"),
        ("Digest", str(info.descriptor.digest)),
        ("Media type", info.descriptor.media_type),
        ("Platform", _platform(info)),
        ("Config", str(info.config.digest) if info.config else ""),
        ("Created", info.created),
        ("Size", _size(info)),
        *_settings(info.runtime or Runtime()),
        *((f"Label {key}", value) for key, value in sorted(info.labels.items())),
    ]
    print(facts_text([fact for fact in facts if fact[1]], width))
    for rows in (_layers(info), _manifests(info), _history(info)):
        if len(rows) > 1:
            print("\n" + fitted_table(rows, width))


def _size(info: ImageInfo) -> str:
    if not info.layers:
        return ""
    unpacked = info.unpacked_size
    stored = size_text(info.size)
    return f"{stored}, not compressed" if unpacked is not None else f"{stored}, compressed"


def _settings(runtime: Runtime) -> list[tuple[str, str]]:
    return [
        ("User", runtime.user),
        ("Workdir", runtime.working_dir),
        ("Entrypoint", shlex.join(runtime.entrypoint)),
        ("Cmd", shlex.join(runtime.cmd)),
        ("Ports", ", ".join(runtime.ports)),
        ("Volumes", ", ".join(runtime.volumes)),
        *(("Env", variable) for variable in runtime.env),
    ]


def _layers(info: ImageInfo) -> list[Row]:
    return [
        ("LAYER", "SIZE", "DIFF ID"),
        *(
            (
                str(layer.descriptor.digest),
                size_text(layer.descriptor.size),
                str(layer.diff_id or ""),
            )
            for layer in info.layers
        ),
    ]


def _manifests(info: ImageInfo) -> list[Row]:
    return [
        ("MANIFEST", "SIZE", "PLATFORM"),
        *(
            (str(child.digest), size_text(child.size), platform_text(child.platform) or "")
            for child in info.manifests
        ),
    ]


def _history(info: ImageInfo) -> list[Row]:
    """Return a row for each build step; those of layers have the layer's size."""
    sizes = iter(layer.descriptor.size for layer in info.layers)
    rows: list[Row] = [("CREATED", "SIZE", "CREATED BY")]
    for step in info.history:
        size = 0 if step.empty_layer else next(sizes, 0)
        rows.append((step.created, size_text(size), step.created_by or step.comment))
    return rows
