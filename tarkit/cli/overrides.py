"""skopeo's options for choosing an image from an index: each replaces one part of this platform."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tarkit.errors import UsageError


def override_platform(
    options: Sequence[Any], values: dict[str, Any], parts: Sequence[str | None]
) -> None:
    """Set the platform in *values* to that of this machine with *parts* replaced.

    *parts* are the system, architecture and variant. Without effect if all platforms are wanted, as
    in skopeo. Raises :class:`UsageError` if a platform is given as well.
    """
    from tarkit.image.platform import Platform

    if values.get("all_platforms") or values.get("every") or values.get("multi_arch"):
        return
    if values["platform"]:
        raise UsageError("--platform and --override-… are mutually exclusive")
    here = Platform.system()
    system, architecture, variant = parts
    text = f"{system or here.os}/{architecture or here.architecture}"
    if variant or (here.variant and not architecture):
        text += f"/{variant or here.variant}"
    repeatable = next(option.multiple for option in options if option.name == "platform")
    platform = Platform.parse(text)
    values["platform"] = [platform] if repeatable else platform
