"""``tarkit logout HOST``."""

from tarkit.cli.common import Debug, Quiet
from tarkit.cli.messages import note
from tarkit.cli.registry import AuthFile, Host, registry_domain


def logout_command(
    host: Host, authfile: AuthFile = None, quiet: Quiet = False, debug: Debug = False
) -> None:
    """Remove the saved credentials for a registry."""
    from tarkit.transports.registry.login import logout

    domain = registry_domain(host)
    path = logout(domain, authfile)
    if not quiet:
        note(f"logged out of {domain}; credentials removed from {path}")
