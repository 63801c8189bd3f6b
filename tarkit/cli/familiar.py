"""Options that tarkit accepts because users of skopeo, crane and docker type them by habit.

They are hidden from the help, and the command reference lists them once.
"""

from tarkit.values import dataclass


@dataclass(frozen=True, slots=True)
class Familiar:
    """Options with other names, or of other tools: their *names*, and the *meaning* of each."""

    names: tuple[str, ...]
    meaning: str
    commands: str = "all commands"


_IMAGES = "commands with --platform"
_REGISTRIES = "commands with --authfile"
_BOTH_ENDS = "copy, sync"

FAMILIAR = (
    Familiar(("-a",), "--all", "copy, sync, digest"),
    Familiar(("--multi-arch",), "all: --all; system: the default; index-only: no images", "copy"),
    Familiar(("--additional-tag",), "--tag", "copy"),
    Familiar(("--digestfile",), "--digest-file", "copy"),
    Familiar(("--dest-compress-format",), "--compression", "copy"),
    Familiar(("--dest-compress-level",), "--compression-level", "copy"),
    Familiar(
        ("--override-os", "--override-arch", "--override-variant"),
        "--platform, with this machine's values for the others; also before the command",
        _IMAGES,
    ),
    Familiar(("--no-creds",), "anonymous access, without the credentials of any file", _REGISTRIES),
    Familiar(("--registry-token",), "a bearer token, sent to the registry unchanged", _REGISTRIES),
    Familiar(("--retry-times",), "the number of retries of a failed request; 4 by default", _REGISTRIES),
    Familiar(
        ("--src-authfile", "--dest-authfile"), "--authfile for one end of the copy", _BOTH_ENDS
    ),
    Familiar(
        ("--src-cert-dir", "--dest-cert-dir"), "--cert-dir for one end of the copy", _BOTH_ENDS
    ),
    Familiar(
        (
            "--src-tls-verify", "--dest-tls-verify",
            "--no-src-tls-verify", "--no-dest-tls-verify",
        ),
        "--tls-verify for one end of the copy",
        _BOTH_ENDS,
    ),
    Familiar(
        ("--src-no-creds", "--dest-no-creds", "--no-src-no-creds", "--no-dest-no-creds"),
        "--no-creds for one end of the copy",
        _BOTH_ENDS,
    ),
    Familiar(
        ("--src-registry-token", "--dest-registry-token"),
        "--registry-token for one end of the copy",
        _BOTH_ENDS,
    ),
    Familiar(
        ("--insecure-policy",), "no effect: tarkit has no signature policy; also before the command"
    ),
    Familiar(("--tmpdir",), "the environment variable TMPDIR", "before the command"),
    Familiar(
        ("--command-timeout",),
        "end the command after a time such as 1m30s; the exit code is 143",
        "before the command",
    ),
    Familiar(("--policy",), "an error: tarkit verifies digests, not signatures", "before the command"),
    Familiar(("--registries.d",), "no effect: tarkit has no signature stores", "before the command"),
)  # fmt: skip

HIDDEN = frozenset(name for option in FAMILIAR for name in option.names)
