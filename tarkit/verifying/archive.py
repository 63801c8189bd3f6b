"""Check the tar archive itself: its end, and its members for duplicates."""

from __future__ import annotations

from tarkit.findings import Findings, Rule
from tarkit.tar.archive import Archive
from tarkit.tar.names import shown
from tarkit.verifying.layers import PADDING


def check_archive(archive: Archive, findings: Findings) -> None:
    """Add findings about defects that other readers may reject; all members are readable."""
    if not archive.padded:
        findings.add(Rule.MISSING_PADDING, archive.where, PADDING)
    elif not archive.trailer:
        findings.add(
            Rule.MISSING_TRAILER,
            archive.where,
            "two zero blocks should end the archive; it may be truncated",
        )
    if archive.trailing:
        message = f"{archive.trailing} bytes follow the end of the archive"
        findings.add(Rule.TRAILING_BYTES, archive.where, message)
    for name in archive.duplicates:
        count = len(archive.candidates(name))
        findings.add(
            Rule.DUPLICATE_MEMBER,
            shown(name),
            f"occurs {count} times; readers disagree on which member counts",
        )
