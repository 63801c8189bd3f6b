"""Platforms in definitions: normalized for what follows a source, as given in its own vertex."""

from __future__ import annotations

from tarkit.image.platform import Platform
from tarkit.llb import messages
from tarkit.values import replace

_ARCHITECTURES = {
    "i386": ("386", ""),
    "x86_64": ("amd64", None),
    "x86-64": ("amd64", None),
    "aarch64": ("arm64", None),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
}
_NO_VARIANT = {("amd64", "v1"), ("arm64", "8"), ("arm64", "v8"), ("arm64", "v8.0")}


def to_platform(value: Platform | str) -> Platform:
    """Return *value* as a platform; raise UsageError if the text is malformed."""
    return Platform.parse(value) if isinstance(value, str) else value


def normalized(platform: Platform) -> Platform:
    """Return *platform* with the names that Go uses: arm64/v8 has no variant, arm becomes v7."""
    system = platform.os.lower().replace("macos", "darwin") or Platform.system().os
    architecture, variant = platform.architecture.lower(), platform.variant.lower()
    architecture, implied = _ARCHITECTURES.get(architecture, (architecture, None))
    variant = variant if implied is None else implied
    if architecture == "arm":
        variant = f"v{variant.removeprefix('v') or '7'}"
    if (architecture, variant) in _NO_VARIANT:
        variant = ""
    return replace(platform, os=system, architecture=architecture, variant=variant)


def to_message(platform: Platform) -> messages.Platform:
    """Return *platform* as BuildKit's message."""
    values = {
        "architecture": platform.architecture,
        "os": platform.os,
        "variant": platform.variant,
        "os_version": platform.os_version,
        "os_features": platform.os_features,
    }
    return messages.Platform(**{name: value for name, value in values.items() if value})  # type: ignore[arg-type]


def from_message(message: messages.Platform) -> Platform:
    """Return BuildKit's message as a platform."""
    return Platform(
        message.os,
        message.architecture,
        message.variant,
        message.os_version,
        tuple(message.os_features),
    )
