"""The metadata file of a build, as buildx writes it."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tarkit.streams.atomic import atomic_file


def metadata_document(response: Mapping[str, str]) -> dict[str, Any]:
    """Return the facts about outputs, with the documents among them decoded."""
    return {name: _decoded(text) for name, text in sorted(response.items())}


def write_metadata(response: Mapping[str, str], path: Path) -> None:
    """Write the facts about outputs as the JSON file *path*; raises the errors of writing."""
    text = json.dumps(metadata_document(response), indent=2)
    with atomic_file(path.absolute()) as file:
        file.write(f"{text}\n".encode())


def _decoded(text: str) -> Any:
    """Return the object in *text*, which is JSON or base64 of JSON, or *text* itself."""
    try:
        found = json.loads(base64.b64decode(text, validate=True))
    except (ValueError, binascii.Error):
        return text
    return found if isinstance(found, dict) else text
