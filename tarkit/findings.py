"""What there is to find: the rules, how much each weighs, and the report they end up in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from tarkit.errors import (
    BlobNotFoundError,
    CancelledError,
    RefusedError,
    TarkitError,
    UnsafePathError,
    one_line,
)


class Severity(Enum):
    """How much a finding weighs: only an error makes an image bad."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


_ERROR, _WARNING, _NOTE = Severity


class Rule(Enum):
    """Every rule by its ``id``, with its ``severity``; docs/guides/verifying.md says what each means."""

    ARCHIVE_TRUNCATED = "archive-truncated", _ERROR
    ARCHIVE_MALFORMED = "archive-malformed", _ERROR
    MISSING_PADDING = "missing-padding", _WARNING
    MISSING_TRAILER = "missing-trailer", _WARNING
    TRAILING_BYTES = "trailing-bytes", _WARNING
    DUPLICATE_MEMBER = "duplicate-member", _WARNING
    NO_IMAGES = "no-images", _WARNING
    MISSING_DOCUMENT = "missing-document", _ERROR
    MALFORMED_DOCUMENT = "malformed-document", _ERROR
    SCHEMA = "schema", _ERROR
    MEDIA_TYPE_MISMATCH = "media-type-mismatch", _ERROR
    UNSUPPORTED = "unsupported", _ERROR
    INDEX_DEPTH = "index-depth", _ERROR
    MISSING_BLOB = "missing-blob", _ERROR
    ABSENT_PLATFORM = "absent-platform", _WARNING
    ABSENT_FOREIGN_LAYER = "absent-foreign-layer", _WARNING
    UNREFERENCED = "unreferenced", _NOTE
    UNSAFE_PATH = "unsafe-path", _ERROR
    UNREADABLE = "unreadable", _ERROR
    DIGEST_MISMATCH = "digest-mismatch", _ERROR
    SIZE_MISMATCH = "size-mismatch", _ERROR
    CONFIG_NAME = "config-name", _ERROR
    CORRUPT_LAYER = "corrupt-layer", _ERROR
    MALFORMED_LAYER = "malformed-layer", _ERROR
    DIFF_ID_MISMATCH = "diff-id-mismatch", _ERROR
    COMPRESSION_MISMATCH = "compression-mismatch", _WARNING
    LAYER_COUNT = "layer-count", _ERROR
    PLATFORM_MISMATCH = "platform-mismatch", _WARNING
    HISTORY_TOO_LONG = "history-too-long", _ERROR
    HISTORY_TOO_SHORT = "history-too-short", _WARNING
    ARTIFACT = "artifact", _NOTE
    NOT_IN_INDEX = "not-in-index", _ERROR
    NOT_IN_MANIFEST_JSON = "not-in-manifest-json", _WARNING
    NAME_CONFLICT = "name-conflict", _ERROR
    NAME_DISAGREEMENT = "name-disagreement", _WARNING

    def __init__(self, id: str, severity: Severity) -> None:
        self.id = id
        self.severity = severity


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found: the id of its ``rule``, ``where`` in the container it is, and one line about it."""

    rule: str
    severity: Severity
    where: str
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """All that was found."""

    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing found is an error."""
        return all(finding.severity is not Severity.ERROR for finding in self.findings)


class Findings:
    """What was found so far, each thing once."""

    def __init__(self) -> None:
        self._found: dict[Finding, None] = {}
        self._broken: set[tuple[Rule, str]] = set()

    def add(self, rule: Rule, where: str, message: str) -> None:
        """Note that *rule* is broken at *where*."""
        finding = Finding(rule.id, rule.severity, _short(where), _short(message))
        self._found[finding] = None
        self._broken.add((rule, where))

    def blame(self, error: TarkitError, where: str, rule: Rule = Rule.UNREADABLE) -> None:
        """Note *error*, under the rule that its kind has, or else under *rule*.

        Raises a :class:`CancelledError` again: it says nothing about the image.
        """
        if isinstance(error, CancelledError):
            raise error
        message = error.message
        if isinstance(error, UnsafePathError):
            rule = Rule.UNSAFE_PATH
            message = f"{message}; {error.hint}" if error.hint else message
        elif isinstance(error, RefusedError):
            rule = Rule.UNSUPPORTED
        elif isinstance(error, BlobNotFoundError):
            rule = Rule.MISSING_BLOB
        self.add(rule, where, message)

    def holds(self, rule: Rule, where: str) -> bool:
        """Whether *rule* was found broken at *where*."""
        return (rule, where) in self._broken

    def breaks(self, rules: Iterable[Rule]) -> bool:
        """Whether one of *rules* was found broken anywhere."""
        return any(rule in rules for rule, _ in self._broken)

    def report(self) -> Report:
        """All of it, errors first, and otherwise in the order it was found."""
        weights = list(Severity)
        return Report(tuple(sorted(self._found, key=lambda found: weights.index(found.severity))))


_MOST = 500  # characters of a text that may come from outside


def _short(text: str) -> str:
    """*text* as one line that any terminal and any encoding can take."""
    return one_line(text if len(text) <= _MOST else text[: _MOST - 1] + "…")
