"""Findings of ``tarkit verify``: rules, severities and reports."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from tarkit.errors import (
    AuthenticationError,
    BlobNotFoundError,
    CancelledError,
    RefusedError,
    TarkitError,
    TransportError,
    UnsafePathError,
    one_line,
)
from tarkit.values import dataclass


class Severity(Enum):
    """The severity of a finding; only errors make a verification fail."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


_ERROR, _WARNING, _NOTE = Severity


class Rule(Enum):
    """A rule with its ``id`` and ``severity``; docs/guides/verifying.md explains all rules."""

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
    IO_ERROR = "io-error", _ERROR
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
    INVALID_NAME = "invalid-name", _WARNING
    NAME_DISAGREEMENT = "name-disagreement", _WARNING

    def __init__(self, id: str, severity: Severity) -> None:
        self.id = id
        self.severity = severity


@dataclass(frozen=True, slots=True)
class Finding:
    """A violation of the rule with the id ``rule`` at ``where`` in a container."""

    rule: str
    severity: Severity
    where: str
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """The findings of one verification."""

    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """True if no finding is an error."""
        return not self._errors

    @property
    def incomplete(self) -> bool:
        """True if no defect was found, but a disk or network failed, so that defects are possible."""
        return bool(self._errors) and all(error.rule == Rule.IO_ERROR.id for error in self._errors)

    @property
    def _errors(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity is Severity.ERROR]


class Findings:
    """Collects findings without duplicates."""

    def __init__(self) -> None:
        self._found: dict[Finding, None] = {}
        self._broken: set[tuple[Rule, str]] = set()

    def add(self, rule: Rule, where: str, message: str) -> None:
        """Record a violation of *rule* at *where*."""
        finding = Finding(rule.id, rule.severity, _short(where), _short(message))
        self._found[finding] = None
        self._broken.add((rule, where))

    def blame(self, error: TarkitError, where: str, rule: Rule = Rule.UNREADABLE) -> None:
        """Record *error* under the rule for its class, or under *rule* if no rule fits its class.

        Raises *error* itself if it is a :class:`CancelledError` or :class:`AuthenticationError`,
        which are not faults of the image.
        """
        if isinstance(error, CancelledError | AuthenticationError):
            raise error
        message = error.message
        if isinstance(error, UnsafePathError):
            rule = Rule.UNSAFE_PATH
            message = f"{message}; {error.hint}" if error.hint else message
        elif isinstance(error, RefusedError):
            rule = Rule.UNSUPPORTED
        elif isinstance(error, BlobNotFoundError):
            rule = Rule.MISSING_BLOB
        elif isinstance(error, TransportError):
            rule = Rule.IO_ERROR
        self.add(rule, where, message)

    def holds(self, rule: Rule, where: str) -> bool:
        """Return True if a violation of *rule* was recorded at *where*."""
        return (rule, where) in self._broken

    def breaks(self, rules: Iterable[Rule]) -> bool:
        """Return True if a violation of any of *rules* was recorded."""
        return any(rule in rules for rule, _ in self._broken)

    def report(self) -> Report:
        """Return all findings, errors first; within a severity, in the order of recording."""
        severities = list(Severity)  # most severe first; sorting is stable
        return Report(
            tuple(sorted(self._found, key=lambda found: severities.index(found.severity)))
        )


_MOST = 500  # characters of a message or location, which may come from untrusted input


def _short(text: str) -> str:
    """Return *text* on one printable line, cut to ``_MOST`` characters."""
    return one_line(text if len(text) <= _MOST else text[: _MOST - 1] + "…")
