"""``tarkit verify SRC``."""

from tarkit.cli.combinations import check_reading
from tarkit.cli.common import (
    Debug,
    FollowLinks,
    Json,
    Quiet,
    SourceArgument,
    StoreOption,
    print_json,
    table,
)
from tarkit.cli.progress import progress_listener
from tarkit.cli.registry import AuthFile, CertDir, Creds, TlsVerify, registry_options
from tarkit.findings import Report, Severity
from tarkit.transports.location import Location
from tarkit.verifying.runner import verify

_FAILED = 4


def verify_command(
    source: SourceArgument,
    follow_links: FollowLinks = False,
    store: StoreOption = None,
    creds: Creds = None,
    authfile: AuthFile = None,
    tls_verify: TlsVerify = True,
    cert_dir: CertDir = None,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> int:
    """Recompute all digests, sizes and diff IDs, and check all documents.

    The exit code is 4 if the image has errors, and 1 if it cannot be read completely. -q prints
    only errors and warnings.
    """
    location = Location.parse(source)
    check_reading(
        location,
        creds=creds,
        authfile=authfile,
        tls_verify=tls_verify,
        cert_dir=cert_dir,
        follow_links=follow_links,
    )
    registry = registry_options(location, creds, authfile, tls_verify, cert_dir)
    with progress_listener(as_json=json_output, quiet=quiet) as listener:
        report = verify(
            location, follow_links=follow_links, registry=registry, on_progress=listener
        )
    if json_output:
        print_json(_as_json(report))
    else:
        _print(report, quiet=quiet)
    if report.incomplete:
        return 1
    return 0 if report.ok else _FAILED


def _as_json(report: Report) -> dict[str, object]:
    return {
        "ok": report.ok,
        "findings": [
            {
                "rule": finding.rule,
                "severity": finding.severity.value,
                "where": finding.where,
                "message": finding.message,
            }
            for finding in report.findings
        ],
    }


def _print(report: Report, *, quiet: bool) -> None:
    rows = [
        (finding.severity.value, finding.rule, f"{finding.where}: {finding.message}")
        for finding in report.findings
        if not quiet or finding.severity is not Severity.NOTE
    ]
    if rows:
        print(table(rows))
    if not quiet:
        print("ok" if report.ok else "not ok")
