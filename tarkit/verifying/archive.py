"""The archive itself: how it ends, and what is in it twice."""

from __future__ import annotations

from tarkit.findings import Findings, Rule
from tarkit.tar.archive import Archive
from tarkit.tar.names import shown
from tarkit.verifying.layers import PADDING


def check_archive(archive: Archive, findings: Findings) -> None:
    """Note what a reader may stumble over although every member can be read."""
    if not archive.padded:
        findings.add(Rule.MISSING_PADDING, archive.where, PADDING)
    elif not archive.trailer:
        findings.add(
            Rule.MISSING_TRAILER,
            archive.where,
            "no two zero blocks end the archive, so it may be cut short",
        )
    if archive.trailing:
        message = f"{archive.trailing} bytes follow the end of the archive"
        findings.add(Rule.TRAILING_BYTES, archive.where, message)
    for name in archive.duplicates:
        count = len(archive.candidates(name))
        findings.add(
            Rule.DUPLICATE_MEMBER,
            shown(name),
            f"is there {count} times; readers differ in which they take",
        )
