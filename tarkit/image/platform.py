"""Platforms of images, and the choice of the best match (image-spec image-index.md)."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Any, Self

from tarkit.errors import UsageError
from tarkit.image.document import JSON, get_string, get_strings, unknown_fields
from tarkit.values import dataclass

# Names of uname and other tools, normalized to GOARCH values as the spec requires
_ARCHITECTURES = {
    "x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "armhf": "arm", "armv7l": "arm",
    "armv6l": "arm", "i386": "386", "i686": "386", "x86": "386", "arm64e": "arm64",
}  # fmt: skip
_KNOWN = frozenset({"architecture", "os", "variant", "os.version", "os.features"})


@dataclass(frozen=True, slots=True)
class Platform:
    """An operating system and CPU architecture, with an optional ``variant`` such as ``v7``.

    >>> tarkit.Platform.parse("linux/arm64/v8")
    Platform(os='linux', architecture='arm64', variant='v8', os_version='', os_features=(), extra={})
    """

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``os/architecture[/variant]``; raise :class:`UsageError` if it is malformed."""
        parts = text.strip().lower().split("/")
        if not 2 <= len(parts) <= 3 or not all(parts):
            raise UsageError(
                f"{text!r} is not a platform",
                hint="write os/architecture[/variant], for example linux/arm64",
            )
        system, architecture = parts[0], _ARCHITECTURES.get(parts[1], parts[1])
        return cls(system, architecture, parts[2] if len(parts) == 3 else "")

    @classmethod
    def system(cls) -> Self:
        """Return the platform of images for this machine: Windows on Windows, otherwise Linux."""
        import platform

        machine = platform.machine().lower()
        architecture = _ARCHITECTURES.get(machine, machine)
        variant = {"armv7l": "v7", "armv6l": "v6"}.get(machine, "")
        return cls("windows" if sys.platform == "win32" else "linux", architecture, variant)

    @classmethod
    def from_json(cls, document: Mapping[str, Any], *, where: str | None = None) -> Self:
        """Parse the ``platform`` object of a descriptor.

        Raises :class:`~tarkit.errors.MalformedError` if it is invalid.
        """
        return cls(
            os=get_string(document, "os", where=where),
            architecture=get_string(document, "architecture", where=where),
            variant=get_string(document, "variant", where=where),
            os_version=get_string(document, "os.version", where=where),
            os_features=get_strings(document, "os.features", where=where),
            extra=unknown_fields(document, _KNOWN),
        )

    def to_json(self) -> JSON:
        """Return the ``platform`` object of a descriptor, without empty fields."""
        document: JSON = {"architecture": self.architecture, "os": self.os}
        if self.os_version:
            document["os.version"] = self.os_version
        if self.os_features:
            document["os.features"] = list(self.os_features)
        if self.variant:
            document["variant"] = self.variant
        return document | dict(self.extra)

    def variants(self) -> tuple[str, ...]:
        """Return the variants that run on this platform, best first.

        For example, arm v7 runs v7, v6, v5 and images without a variant.
        """
        # A variant's programs also run on later ones, down to v5, the oldest that images state.
        if self.architecture == "arm":
            # Without a variant, assume v7 as containerd does.
            number = self.variant.removeprefix("v")
            best = int(number) if number.isdecimal() and int(number) <= 8 else 7
            exact = (self.variant,) if self.variant else ()
            fallbacks = tuple(f"v{n}" for n in range(best, 4, -1))
            return tuple(dict.fromkeys((*exact, *fallbacks, "")))
        # arm64 without a variant means v8.
        baseline = ("", "v8") if self.architecture == "arm64" else ("",)
        return tuple(dict.fromkeys((self.variant, *baseline)))

    def choose(self, offered: Iterable[Platform | None]) -> int | None:
        """Return the position in *offered* of the best match, or None if nothing matches.

        The best variant is preferred, and the first of equal variants. None never matches.
        If this platform has no variant, any other variant matches as a last resort.
        """
        candidates = [
            (position, platform)
            for position, platform in enumerate(offered)
            if platform is not None
            and (platform.os, platform.architecture) == (self.os, self.architecture)
            and (not self.os_version or platform.os_version == self.os_version)
        ]
        for variant in self.variants():
            for position, platform in candidates:
                if platform.variant == variant:
                    return position
        return candidates[0][0] if candidates and not self.variant else None

    def contradicts(self, other: Platform) -> bool:
        """Return True if the platforms differ in a field that neither leaves empty."""
        pairs = zip(
            (self.os, self.architecture, self.variant),
            (other.os, other.architecture, other.variant),
            strict=True,
        )
        return any(ours and theirs and ours != theirs for ours, theirs in pairs)

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)
