"""Check that both halves of a dual archive, Docker's and OCI's, describe the same images."""

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
    """Compare ``manifest.json`` with ``index.json``.

    Docker's classic image store reads ``manifest.json``, but containerd reads ``index.json``. If
    the files differ, they load different images from the same archive.
    """
    if not images or not entries:
        return
    # If an entry is unreadable, its images are unknown and would all seem to be missing.
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
            message = f"{INDEX_FILE} has no image with config {image.config}"
            findings.add(Rule.NOT_IN_INDEX, MANIFEST_FILE, message)
    for entry in entries:
        if not entry.configs & configs:
            message = f"{MANIFEST_FILE} lists no image of {entry.descriptor.digest}"
            findings.add(Rule.NOT_IN_MANIFEST_JSON, INDEX_FILE, message)


def _check_names(
    ours: Mapping[str, set[Digest]], theirs: Mapping[str, set[Digest]], findings: Findings
) -> None:
    for name, configs in ours.items():
        if name not in theirs:
            message = f"{INDEX_FILE} does not contain the name {name}"
            findings.add(Rule.NAME_DISAGREEMENT, MANIFEST_FILE, message)
        elif not configs & theirs[name]:
            message = f"{name} names different images in {MANIFEST_FILE} and {INDEX_FILE}"
            findings.add(Rule.NAME_CONFLICT, INDEX_FILE, message)
    for name in theirs:
        if name not in ours:
            message = f"{MANIFEST_FILE} does not contain the name {name}"
            findings.add(Rule.NAME_DISAGREEMENT, INDEX_FILE, message)


def _names_of_images(images: Sequence[DockerImage]) -> Mapping[str, set[Digest]]:
    names: dict[str, set[Digest]] = defaultdict(set)
    for image in images:
        for tag in image.names:
            if name := normalized(tag):
                names[name].add(image.config)
    return names


def _names_of_entries(entries: Sequence[IndexEntry]) -> Mapping[str, set[Digest]]:
    """Return the names that containerd gives the images; a mere tag cannot be compared."""
    names: dict[str, set[Digest]] = defaultdict(set)
    for entry in entries:
        annotations = entry.descriptor.annotations
        full = annotations.get(CONTAINERD_NAME) or annotations.get(REF_NAME, "")
        name = normalized(full) if ":" in full or "/" in full else None
        if name and entry.configs:
            names[name] |= entry.configs
    return names
