"""The ``git`` program, with nothing of the user's configuration and no questions."""

from __future__ import annotations

import base64
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tarkit.errors import TransportError
from tarkit.redaction import Secrets
from tarkit.rootfs.output.programs import find_program
from tarkit.streams.cancellation import SLICE, check

_PROTOCOLS = "http:https:ssh:git"  # not file: a definition must not read this machine's files
_SSH = "ssh -F /dev/null -o StrictHostKeyChecking=yes -o BatchMode=yes"
_LONGEST = 1 << 20  # bytes of output that are kept


class Git:
    """Runs ``git`` in *directory* against the repository at *url*.

    *header* is a value of the header ``Authorization``, and *known_hosts* are lines of a file for ssh.
    They reach git through its environment and a file, which other users cannot read. Raises
    :class:`~tarkit.errors.UnsupportedError` if git is not installed.
    """

    def __init__(
        self, directory: Path, url: str, *, header: str = "", known_hosts: str = ""
    ) -> None:
        self._program = find_program("git", "git")
        self._directory = directory
        self.url = url
        self._secrets = Secrets()
        self._environment = self._make_environment(header, known_hosts)

    def _make_environment(self, header: str, known_hosts: str) -> dict[str, str]:
        kept = ("PATH", "SSH_AUTH_SOCK", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")
        proxies = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
        names = [*kept, *proxies, *map(str.upper, proxies)]
        environment = {name: os.environ[name] for name in names if name in os.environ}
        hosts = self._directory / "known_hosts"
        hosts.write_text(known_hosts)
        environment |= {
            "LC_ALL": "C", "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": _PROTOCOLS,
            "GIT_SSH_COMMAND": f"{_SSH} -o UserKnownHostsFile={hosts}",
        }  # fmt: skip
        settings = {"safe.directory": "*", "advice.detachedHead": "false"}
        if header:
            self._secrets.add(header, *header.split())
            settings[f"http.{self.url}.extraheader"] = f"Authorization: {header}"
        environment["GIT_CONFIG_COUNT"] = str(len(settings))
        for number, (key, value) in enumerate(settings.items()):
            environment[f"GIT_CONFIG_KEY_{number}"] = key
            environment[f"GIT_CONFIG_VALUE_{number}"] = value
        return environment

    def run(self, *arguments: str) -> str:
        """Run a git command and return its output.

        Raises :class:`~tarkit.errors.TransportError` with git's message, and CancelledError.
        """
        command = [self._program, *arguments]
        with (
            tempfile.TemporaryFile() as output,
            tempfile.TemporaryFile() as errors,
            subprocess.Popen(
                command, cwd=self._directory, env=self._environment, stdin=subprocess.DEVNULL,
                stdout=output, stderr=errors, umask=0o022, start_new_session=True,
            ) as process,
        ):  # fmt: skip
            try:
                _wait(process)
            except BaseException:
                process.kill()
                raise
            output.seek(0)
            errors.seek(0)
            text = output.read(_LONGEST).decode("utf-8", "surrogateescape")
            if process.returncode:
                lines = errors.read(_LONGEST).decode("utf-8", "replace").splitlines()
                reason = "; ".join(line for line in lines if line.strip())[-300:]
                raise TransportError(f"git: {reason or process.returncode}", where=self.url)
            return text


def _wait(process: subprocess.Popen[bytes]) -> None:
    while True:
        try:
            process.wait(SLICE)
        except subprocess.TimeoutExpired:
            check()
        else:
            return


def authorization(attrs: Mapping[str, str], secrets: Mapping[str, bytes]) -> str:
    """Return the header ``Authorization`` that the secrets of a source give, or an empty text."""
    header = secrets.get(attrs.get("git.authheadersecret", ""), b"").decode().strip()
    token = secrets.get(attrs.get("git.authtokensecret", ""), b"").decode().strip()
    if header or not token:
        return header
    return "basic " + base64.b64encode(f"x-access-token:{token}".encode()).decode()


def rows(output: str) -> Sequence[tuple[str, str]]:
    """Return the object and the name in each line of ``git ls-remote``."""
    found = (line.partition("\t") for line in output.splitlines())
    return [(identifier, name) for identifier, tab, name in found if tab]
