"""Run credential helpers, the ``docker-credential-NAME`` programs that store secrets.

Secrets are passed only through standard input and output. Messages never include the output of a
helper, since it may contain secrets.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from tarkit.errors import AuthenticationError, UsageError
from tarkit.image.document import dump_json, get_string, parse_object
from tarkit.streams.cancellation import SLICE, check
from tarkit.transports.registry.credentials import TOKEN_USER, Credentials

if TYPE_CHECKING:
    from subprocess import Popen

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
_TIMEOUT = 120.0  # seconds; a helper may prompt its user
_LIMIT = 1 << 20
_NOT_FOUND = b"credentials not found"


def get(name: str, server: str) -> Credentials | None:
    """Return the credentials for *server* from the helper *name*.

    Returns None if they are missing or empty.
    """
    status, output = _run(name, "get", server.encode())
    if status:
        if _NOT_FOUND in output:
            return None
        raise _failure(name, "get", f"exit code {status}")
    document = parse_object(output, where=_program(name), limit=_LIMIT)
    username = get_string(document, "Username", where=_program(name))
    secret = get_string(document, "Secret", where=_program(name))
    if username == TOKEN_USER:
        return Credentials(identity_token=secret, origin=_program(name)) or None
    return Credentials(username, secret, origin=_program(name)) or None


def store(name: str, server: str, credentials: Credentials) -> None:
    """Store *credentials* for *server* in the helper *name*."""
    document = {
        "ServerURL": server,
        "Username": TOKEN_USER if credentials.identity_token else credentials.username,
        "Secret": credentials.identity_token or credentials.password,
    }
    status, _ = _run(name, "store", dump_json(document))
    if status:
        raise _failure(name, "store", f"exit code {status}")


def erase(name: str, server: str) -> bool:
    """Erase the credentials for *server* from the helper *name*.

    Returns False if the helper has none.
    """
    if get(name, server) is None:
        return False
    status, _ = _run(name, "erase", server.encode())
    if status:
        raise _failure(name, "erase", f"exit code {status}")
    return True


def _run(name: str, action: str, data: bytes) -> tuple[int, bytes]:
    import subprocess

    if not _NAME.fullmatch(name):
        raise UsageError(f"{name[:80]!r} is not a valid name of a credential helper")
    try:
        with subprocess.Popen(
            [_program(name), action],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                output = _output(process, data)
            except BaseException:
                process.kill()
                raise
    except TimeoutError:
        raise _failure(name, action, f"no answer within {_TIMEOUT:.0f} seconds") from None
    except OSError as error:
        raise _failure(name, action, error.strerror or "cannot be run") from None
    return process.returncode, output[: _LIMIT + 1]


def _output(process: Popen[bytes], data: bytes) -> bytes:
    """Send *data* to *process* and return its output.

    Raises :class:`TimeoutError` if the process takes longer than ``_TIMEOUT`` seconds.
    """
    from subprocess import TimeoutExpired

    # Wait in short intervals to check for cancellation.
    end = time.monotonic() + _TIMEOUT
    unsent: bytes | None = data
    while True:
        check()
        try:
            return process.communicate(unsent, timeout=SLICE)[0]
        except TimeoutExpired:
            unsent = None  # communicate() keeps the unsent input
            if time.monotonic() >= end:
                raise TimeoutError from None


def _program(name: str) -> str:
    return f"docker-credential-{name}"


def _failure(name: str, action: str, problem: str) -> AuthenticationError:
    return AuthenticationError(
        f"the credential helper cannot {action} credentials: {problem}", where=_program(name)
    )
