"""Errors as a registry reports them (distribution-spec, "Error Codes")."""

from __future__ import annotations

import json
from typing import Self

from tarkit.errors import (
    BlobNotFoundError,
    MalformedError,
    NoSpaceError,
    TarkitError,
    UnsupportedError,
    VerificationError,
)

STATUSES = {
    "BLOB_UNKNOWN": 404,
    "BLOB_UPLOAD_INVALID": 400,
    "BLOB_UPLOAD_UNKNOWN": 404,
    "DENIED": 403,
    "DIGEST_INVALID": 400,
    "MANIFEST_BLOB_UNKNOWN": 404,
    "MANIFEST_INVALID": 400,
    "MANIFEST_UNKNOWN": 404,
    "NAME_INVALID": 400,
    "NAME_UNKNOWN": 404,
    "SIZE_INVALID": 400,
    "TAG_INVALID": 400,
    "TOOMANYREQUESTS": 429,
    "UNKNOWN": 500,
    "UNSUPPORTED": 405,
}
"""The HTTP status of each error code."""


class Problem(Exception):
    """A request that fails with an error *code* of the specification."""

    def __init__(self, code: str, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status or STATUSES[code]

    @classmethod
    def of(cls, error: TarkitError) -> Self:
        """Return the problem that *error* is for a client.

        The message omits the location, which is a path of this machine.
        """
        match error:
            case BlobNotFoundError():
                return cls("BLOB_UNKNOWN", error.message)
            case NoSpaceError():
                return cls("UNKNOWN", error.message, status=507)
            case VerificationError():
                return cls("UNKNOWN", f"the stored content is damaged: {error.message}")
        return cls("UNKNOWN", error.message)

    @classmethod
    def of_manifest(cls, error: MalformedError | UnsupportedError) -> Self:
        """Return the problem with a manifest that a client sent."""
        return cls("MANIFEST_INVALID", error.message)

    @property
    def body(self) -> bytes:
        """The JSON document that describes the error."""
        return json.dumps({"errors": [{"code": self.code, "message": self.message}]}).encode()
