"""Constants of the docker archive format, without the slow imports of readers and writers."""

from enum import Enum

MANIFEST_FILE = "manifest.json"
REPOSITORIES_FILE = "repositories"


class DockerFormat(Enum):
    """The format in which a docker archive is written."""

    DUAL = "dual"  # both a docker archive and an OCI layout, as Docker writes since version 25
    CLASSIC = "classic"  # plain layers and legacy files per layer, as skopeo writes
