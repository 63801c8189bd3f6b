"""The document of ``skopeo inspect``, for ``tarkit inspect --format``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from tarkit.image.config import ImageConfig
from tarkit.image.descriptor import Descriptor
from tarkit.image.document import get_object, get_string, get_strings
from tarkit.image.manifest import Manifest
from tarkit.image.platform import Platform
from tarkit.protocols import Source
from tarkit.selection.select import read_config, select_image
from tarkit.selection.template import Template
from tarkit.selection.template_values import GoTime, Nil, Record, as_json

_WHOLE = re.compile(r"\s*(?:json|\{\{\s*json\s*\.?\s*\}\})?\s*")
_TIME = re.compile(
    r"(?P<day>\d{4}-\d{2}-\d{2})T(?P<clock>\d{2}:\d{2}:\d{2})(?:\.(?P<part>\d{1,9})\d*)?"
    r"(?P<zone>Z|[+-]\d{2}:\d{2})",
    re.ASCII,
)


def format_image(
    source: Source,
    template: str,
    *,
    platform: Platform | None = None,
    name: str = "",
    tags: Sequence[str] = (),
) -> str:
    """Return *template* filled with skopeo's fields of *source*'s image.

    The fields are Name, Digest, RepoTags, Created, DockerVersion, Labels, Architecture, Os, Layers,
    LayersData and Env. The digest is that of the whole index if *source* is one.

    Parameters:

    - *source*: an image or index of an open reader.
    - *template*: a Go template. ``\\t`` and ``\\n`` are a tab and a newline; ``json`` alone is the
      whole document, indented.
    - *platform*: the platform to select from an index; by default that of this machine.
    - *name*, *tags*: those of the image's repository, if it is in a registry.

    Raises :class:`~tarkit.errors.UsageError` with the position of an error in *template*,
    :class:`~tarkit.errors.ImageNotFoundError` if an index has no image for the platform,
    :class:`~tarkit.errors.NotAnImageError` for an artifact, and
    :class:`~tarkit.errors.VerificationError` for a damaged image.

    >>> with tarkit.open_source("fixtures/hello.tar") as source:
    ...     tarkit.format_image(source, "{{.Os}}/{{.Architecture}} {{len .Layers}}")
    'linux/amd64 2'
    """
    parsed = Template(template)
    record = _record(source, platform, name, tags)
    if _WHOLE.fullmatch(template):
        shown = Record(record)
        if not name:
            del shown["Name"]  # as skopeo does
        return as_json(shown, indent=4)
    return parsed.render(record)


def uses_tags(template: str) -> bool:
    """Return True if *template* may show RepoTags, which cost a request."""
    return "RepoTags" in template or bool(
        re.search(r"\.[\s)}|]", template) or _WHOLE.fullmatch(template)
    )


def _record(source: Source, platform: Platform | None, name: str, tags: Sequence[str]) -> Record:
    top = source.manifest()
    manifest = Manifest.parse(select_image(source, platform) if top.is_index or platform else top)
    data = read_config(source, manifest)
    where = f"{source.where}: config {manifest.config.digest}"
    manifest.require_image(data, where=source.where)
    config = ImageConfig.parse(data, where=where)
    runtime = get_object(config.document, "config", where=where)
    has_labels = runtime.get("Labels") is not None
    env = get_strings(runtime, "Env", where=where)
    return Record(
        Name=name,
        Digest=str(top.digest),
        RepoTags=list(tags),
        Created=go_time(config.created),
        DockerVersion=get_string(config.document, "docker_version", where=where),
        Labels=dict(config.labels) if has_labels else Nil("map[]"),
        Architecture=config.platform.architecture,
        Os=config.platform.os,
        Layers=[str(layer.digest) for layer in manifest.layers] or Nil("[]"),
        LayersData=[_layer(layer) for layer in manifest.layers] or Nil("[]"),
        Env=list(env) if runtime.get("Env") is not None else Nil("[]"),
    )


def _layer(layer: Descriptor) -> Record:
    return Record(
        MIMEType=layer.media_type,
        Digest=str(layer.digest),
        Size=layer.size,
        Annotations=dict(layer.annotations) or Nil("map[]"),
    )


def go_time(text: str) -> GoTime | Nil:
    """Return the time *text* of RFC 3339 as Go prints it, or nil if it is missing or malformed."""
    match = _TIME.fullmatch(text)
    if match is None or not _is_valid(match):
        return Nil("<nil>")
    part = (match["part"] or "").rstrip("0")
    clock = f"{match['clock']}.{part}" if part else match["clock"]
    zone = "Z" if match["zone"][1:] == "00:00" else match["zone"]
    offset = zone.replace(":", "")
    shown = "+0000 UTC" if zone == "Z" else f"{offset} {offset}"  # such zones have no name
    return GoTime(f"{match['day']} {clock} {shown}", f"{match['day']}T{clock}{zone}")


def _is_valid(match: re.Match[str]) -> bool:
    try:
        datetime.fromisoformat(f"{match['day']}T{match['clock']}")
    except ValueError:
        return False
    return True
