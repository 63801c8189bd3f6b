"""Archives that are docker archive and OCI layout at once: whether both halves tell of the same images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from tarkit.findings import Findings, Rule
from tarkit.image.digest import Digest
from tarkit.layout.layout import INDEX_FILE
from tarkit.layout.names import CONTAINERD_NAME, REF_NAME, normalized
from tarkit.transports.docker_archive.format import MANIFEST_FILE
from tarkit.verifying.docker import DockerImage
from tarkit.verifying.indexes import IndexEntry


def check_agreement(
    images: Sequence[DockerImage], entries: Sequence[IndexEntry], findings: Findings
) -> None:
    """Hold what ``manifest.json`` says against what ``index.json`` says.

    Docker's classic store reads the one and containerd the other, so where they differ the two
    load different images from one file.
    """
    if not images or not entries:
        return
    if all(entry.configs for entry in entries):
        _check_configs(images, entries, findings)
    _check_names(_names_of_images(images), _names_of_entries(entries), findings)


def _check_configs(
    images: Sequence[DockerImage], entries: Sequence[IndexEntry], findings: Findings
) -> None:
    configs = {image.config for image in images}
    indexed = frozenset[Digest]().union(*(entry.configs for entry in entries))
    for image in images:
        if image.config not in indexed:
            message = f"{INDEX_FILE} has no image of the config {image.config}"
            findings.add(Rule.NOT_IN_INDEX, MANIFEST_FILE, message)
    for entry in entries:
        if not entry.configs & configs:
            message = f"{MANIFEST_FILE} has no image that {entry.descriptor.digest} leads to"
            findings.add(Rule.NOT_IN_MANIFEST_JSON, INDEX_FILE, message)


def _check_names(
    ours: Mapping[str, set[Digest]], theirs: Mapping[str, set[Digest]], findings: Findings
) -> None:
    for name, configs in ours.items():
        if name not in theirs:
            message = f"{INDEX_FILE} does not know the name {name}"
            findings.add(Rule.NAME_DISAGREEMENT, MANIFEST_FILE, message)
        elif not configs & theirs[name]:
            message = f"{name} is another image in {MANIFEST_FILE} than in {INDEX_FILE}"
            findings.add(Rule.NAME_CONFLICT, INDEX_FILE, message)
    for name in theirs:
        if name not in ours:
            message = f"{MANIFEST_FILE} does not know the name {name}"
            findings.add(Rule.NAME_DISAGREEMENT, INDEX_FILE, message)


def _names_of_images(images: Sequence[DockerImage]) -> Mapping[str, set[Digest]]:
    names: dict[str, set[Digest]] = defaultdict(set)
    for image in images:
        for tag in image.names:
            if name := normalized(tag):
                names[name].add(image.config)
    return names


def _names_of_entries(entries: Sequence[IndexEntry]) -> Mapping[str, set[Digest]]:
    """What containerd would call the images; a tag alone is no name to agree on."""
    names: dict[str, set[Digest]] = defaultdict(set)
    for entry in entries:
        annotations = entry.descriptor.annotations
        full = annotations.get(CONTAINERD_NAME) or annotations.get(REF_NAME, "")
        name = normalized(full) if ":" in full or "/" in full else None
        if name and entry.configs:
            names[name] |= entry.configs
    return names
