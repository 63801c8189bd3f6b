"""Constants of the docker archive format, apart from the slow imports of readers and writers."""

from enum import Enum

MANIFEST_FILE = "manifest.json"
REPOSITORIES_FILE = "repositories"


class DockerFormat(Enum):
    """The format in which a docker archive is written."""

    DUAL = "dual"  # a docker archive and an OCI layout at once, as Docker writes since version 25
    CLASSIC = "classic"  # plain layers and per-layer legacy files, as skopeo writes
