"""Convert the results of test_compatibility.py to docs/compatibility.md.

``python -m tests.conformance.compatibility bookworm=FILE trixie=FILE > docs/compatibility.md``
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

Table = dict[str, dict[str, str]]

INTRODUCTION = """# Compatibility

Each result below is from a run of `tests/conformance/test_compatibility.py`, once for each Debian release. `.ci/run`
repeats the run; the fields of a result are the facts that the tool reported and that agree with tarkit:

- **loads**: the tool accepts the image
- **name**, **config**, **manifest**: it reports the name, the config's digest, the manifest's digest that tarkit wrote
- **runs**: the image's program runs and prints the expected text
"""
TITLES = {
    "versions": "Versions",
    "forms": "Forms that tarkit writes",
    "producers": "Images that other tools write",
    "registry": "Through a registry",
    "files": "Root filesystems",
    "several images": "Several images in one archive",
}
NOTES = """
## Limits of other tools

- Docker's classic image store reads `manifest.json` only, so it refuses OCI archives. Write a docker-archive.
- skopeo, and podman for a classic archive, derive a manifest of their own from `manifest.json`; its digest differs from
  the one in the archive's OCI half. The config's digest agrees.
- Docker 20.10 and umoci 0.4 cannot read layers compressed with zstd.
- The containerd image store identifies an image by its manifest's digest, the classic store by its config's.
- `ctr` is asked to import and list only; it runs nothing here.
"""


def read(path: Path) -> dict[str, Table]:
    """Read results from *path*: table, row, column, result."""
    tables: dict[str, Table] = {}
    for line in path.read_text().splitlines():
        found = json.loads(line)
        row = tables.setdefault(found["table"], {}).setdefault(found["row"], {})
        row[found["column"]] = found["result"]
    return tables


def rows(table: Table) -> Iterator[str]:
    """Format *table* in Markdown."""
    columns = list(dict.fromkeys(column for row in table.values() for column in row))
    yield f"| | {' | '.join(columns)} |"
    yield "|---" * (len(columns) + 1) + "|"
    for name, row in table.items():
        yield f"| {name} | {' | '.join(row.get(column, '') for column in columns)} |"


def page(runs: dict[str, dict[str, Table]]) -> str:
    """Return the page for the *runs*, keyed by release name."""
    lines = [INTRODUCTION.rstrip()]
    for release, tables in runs.items():
        lines += ["", f"## Debian {release}"]
        for key, title in TITLES.items():
            if key in tables:
                lines += ["", f"### {title}", "", *rows(tables[key])]
    return "\n".join(lines) + "\n" + NOTES


if __name__ == "__main__":
    named = (argument.split("=", 1) for argument in sys.argv[1:])
    sys.stdout.write(page({release: read(Path(path)) for release, path in named}))
