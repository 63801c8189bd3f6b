"""The two ways a docker archive is laid out; apart, because asking for one is light and writing it is not."""

from enum import Enum


class DockerFormat(Enum):
    """How a docker archive is laid out."""

    DUAL = "dual"  # a docker archive and an OCI layout at once, as Docker writes it since 25
    CLASSIC = "classic"  # plain layers and per-layer legacy files, as skopeo writes it
