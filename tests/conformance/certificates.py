"""Certificates for tests, created by openssl and signed by a temporary authority."""

from __future__ import annotations

from pathlib import Path

from tests.conformance.tools import find_tool


def make_authority(directory: Path) -> None:
    """Create ``ca.pem`` and ``ca-key.pem`` in *directory*."""
    find_tool("openssl")(
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
        "-subj", "/CN=throw-away CA", "-addext", "keyUsage=critical,keyCertSign",
        "-keyout", directory / "ca-key.pem", "-out", directory / "ca.pem",
    )  # fmt: skip


def sign(authority: Path, directory: Path, *extensions: str) -> None:
    """Create ``cert.pem`` and ``key.pem`` in *directory*, signed by the authority, and copy its ``ca.pem``."""
    openssl = find_tool("openssl")
    directory.mkdir()
    (directory / "ca.pem").write_bytes((authority / "ca.pem").read_bytes())
    (directory / "extensions").write_text("\n".join(extensions))
    openssl(
        "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=tarkit",
        "-keyout", directory / "key.pem", "-out", directory / "request.pem",
    )  # fmt: skip
    openssl(
        "x509", "-req", "-days", "2", "-in", directory / "request.pem",
        "-CA", authority / "ca.pem", "-CAkey", authority / "ca-key.pem", "-CAcreateserial",
        "-extfile", directory / "extensions", "-out", directory / "cert.pem",
    )  # fmt: skip
