"""Debian's registry with a password, with TLS, and with a readable log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.tools import (
    LISTENING,
    background,
    find_tool,
    scratch_directory,
    wait_until,
)

USER, PASSWORD = "tester", "correct horse battery"
_HTPASSWD = f"{USER}:$2y$05$abcdefghijklmnopqrstuuD3mHdCr44zlIZ.VZCaYRpfQhXMYnEo.\n"


@dataclass(frozen=True)
class Registry:
    """A running registry: its ``host:port`` and its log."""

    address: str
    log: Path

    def requests(self, method: str, part: str) -> list[str]:
        """Return the lines of the access log with this *method* that contain *part*."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [line for line in lines if f'"{method} ' in line and part in line]


@dataclass(frozen=True)
class Authority:
    """The files of a temporary certificate authority: ``ca.crt`` and the certificates it signed."""

    directory: Path

    @classmethod
    def make(cls, directory: Path) -> Authority:
        authority = cls(directory)
        find_tool("openssl")(
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
            "-subj", "/CN=throw-away CA", "-addext", "keyUsage=critical,keyCertSign",
            "-keyout", directory / "ca.key", "-out", directory / "ca.crt",
        )  # fmt: skip
        return authority

    def sign(self, name: str, *extensions: str) -> None:
        """Create ``name.crt`` and ``name.key``."""
        openssl, directory = find_tool("openssl"), self.directory
        openssl(
            "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}",
            "-keyout", directory / f"{name}.key", "-out", directory / f"{name}.csr",
        )  # fmt: skip
        (directory / "extensions").write_text("\n".join(extensions))
        openssl(
            "x509", "-req", "-days", "2", "-in", directory / f"{name}.csr",
            "-CA", directory / "ca.crt", "-CAkey", directory / "ca.key", "-CAcreateserial",
            "-extfile", directory / "extensions", "-out", directory / f"{name}.crt",
        )  # fmt: skip


@contextmanager
def running(
    *, password: bool = False, tls: Authority | None = None, client_certificates: bool = False
) -> Iterator[Registry]:
    """Run an empty registry on the loopback interface."""
    with scratch_directory() as directory:
        http = ["http:", "  addr: 127.0.0.1:0"]
        if tls:
            http += ["  tls:"]
            http += [f"    certificate: {tls.directory}/server.crt"]
            http += [f"    key: {tls.directory}/server.key"]
        if tls and client_certificates:
            http += [f"    clientcas: [{tls.directory}/ca.crt]"]
        lines = ["version: 0.1", "storage:", "  delete: {enabled: true}", "  filesystem:"]
        lines += [f"    rootdirectory: {directory}/data", *http]
        if password:
            (directory / "htpasswd").write_text(_HTPASSWD)
            lines += ["auth:", "  htpasswd:", "    realm: test", f"    path: {directory}/htpasswd"]
        config, log = directory / "config.yml", directory / "log"
        config.write_text("\n".join(lines) + "\n")
        program = find_tool("docker-registry")
        with background(program.with_options("serve", config), log) as process:
            wait_until(lambda: LISTENING.search(log.read_text()) is not None, process, log)
            yield Registry(LISTENING.findall(log.read_text())[0], log)
