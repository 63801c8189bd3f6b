"""What docker archives are known by; apart, because asking for it is light and reading and writing are not."""

from enum import Enum

MANIFEST_FILE = "manifest.json"
REPOSITORIES_FILE = "repositories"


class DockerFormat(Enum):
    """How a docker archive is laid out."""

    DUAL = "dual"  # a docker archive and an OCI layout at once, as Docker writes it since 25
    CLASSIC = "classic"  # plain layers and per-layer legacy files, as skopeo writes it
