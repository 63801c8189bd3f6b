"""Add CA certificates to an image's trust stores.

Certificates are appended to every existing bundle (of Debian, Alpine, Red Hat and SUSE) and added to
the directories from which distributions rebuild their bundles. An image without a bundle gets the
one that most TLS libraries try first.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from typing import Self

from tarkit.errors import MalformedError, RefusedError
from tarkit.rootfs.overlay.context import OverlayContext
from tarkit.tar.member import Member, MemberType
from tarkit.values import dataclass

BUNDLES = (
    "etc/ssl/certs/ca-certificates.crt",
    "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "etc/pki/tls/certs/ca-bundle.crt",
    "etc/ssl/ca-bundle.pem",
    "etc/ssl/cert.pem",
    "var/lib/ca-certificates/ca-bundle.pem",
)
"""Certificate bundles read by programs."""

ANCHORS = (
    "usr/local/share/ca-certificates",
    "etc/pki/ca-trust/source/anchors",
    "etc/pki/trust/anchors",
    "etc/ca-certificates/trust-source/anchors",
)
"""Directories from which distributions build the bundles."""

_BEGIN = b"-----BEGIN CERTIFICATE-----"
_END = b"-----END CERTIFICATE-----"
_BLOCK = re.compile(_BEGIN + rb"\s([A-Za-z0-9+/=\s]+)" + _END)
_DER_SEQUENCE = b"\x30"


@dataclass(frozen=True, slots=True)
class AddCertificates:
    """A change that adds *certificates*, in DER, to the trust stores of an image."""

    certificates: tuple[bytes, ...]

    @classmethod
    def parse(cls, pem: bytes) -> Self:
        """Parse the certificates in *pem*; raises :class:`MalformedError` if there are none."""
        certificates = tuple(_decode(block) for block in _BLOCK.findall(pem))
        if not certificates:
            raise MalformedError("no certificate in PEM format")
        if len(certificates) < pem.count(_BEGIN):
            raise MalformedError("truncated certificate")
        return cls(tuple(dict.fromkeys(certificates)))

    def parts(self) -> Iterator[bytes]:
        """Yield everything that determines the effect of the change, to be hashed."""
        yield from self.certificates

    def make(self, work: OverlayContext) -> None:
        """Apply the change to *work*."""
        # bundles are often links to one another: append to each file once
        paths = {work.real_path(path) for path in BUNDLES if work.get(path) is not None}
        for path in sorted(paths) or [work.real_path(BUNDLES[0])]:
            self._extend(work, path)
        for directory in ANCHORS:
            node = work.get(directory)
            if node is not None and node.directory is not None:
                for certificate in self.certificates:
                    name = f"{directory}/tarkit-{hashlib.sha256(certificate).hexdigest()[:16]}.crt"
                    _write(work, name, encode(certificate))

    def _extend(self, work: OverlayContext, path: str) -> None:
        """Append the missing certificates to the bundle at *path*."""
        node = work.get(path)
        if node is None:
            _write(work, path, b"".join(map(encode, self.certificates)))
            return
        if node.type is not MemberType.FILE:
            raise RefusedError("certificate bundle is not a file", where=f"/{path}")
        bundle = work.read(node, path)
        known = {b"".join(block.split()) for block in _BLOCK.findall(bundle)}
        missing = [c for c in self.certificates if base64.b64encode(c) not in known]
        if missing:
            if bundle and not bundle.endswith(b"\n"):
                bundle += b"\n"
            data = bundle + b"".join(map(encode, missing))
            work.rewrite(path, node, data)


def encode(certificate: bytes) -> bytes:
    """Return *certificate*, in DER, as PEM (RFC 7468)."""
    lines = base64.b64encode(certificate)
    wrapped = b"\n".join(lines[at : at + 64] for at in range(0, len(lines), 64))
    return _BEGIN + b"\n" + wrapped + b"\n" + _END + b"\n"


def _decode(block: bytes) -> bytes:
    try:
        certificate = base64.b64decode(b"".join(block.split()), validate=True)
    except binascii.Error:
        raise MalformedError("certificate is not valid base64") from None
    if certificate[:1] != _DER_SEQUENCE:
        raise MalformedError("certificate is not valid DER")
    if len(certificate) != _der_size(certificate):
        raise MalformedError("truncated certificate")
    return certificate


def _der_size(value: bytes) -> int:
    """Return the size of the DER *value* in bytes according to its header (X.690, 8.1.3)."""
    short = value[1] if len(value) > 1 else 0
    if short < 0x80:  # short form: the length itself
        return 2 + short
    count = short & 0x7F  # long form: the number of bytes of the length
    return 2 + count + int.from_bytes(value[2 : 2 + count], "big")


def _write(work: OverlayContext, path: str, data: bytes) -> None:
    work.put(path, Member(b"", size=len(data), mtime_ns=work.mtime_ns), data)
