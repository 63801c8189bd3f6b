"""TLS over sockets whose waits can be cancelled."""

from __future__ import annotations

import ssl

from tarkit.streams.sockets import Patient


class _PatientTls(Patient, ssl.SSLSocket):  # type: ignore[misc]  # the signatures differ in names only
    def do_handshake(self, block: bool = False) -> None:
        """Shake hands; the timeout bounds the whole of it."""
        try:
            self._patiently(lambda: super(Patient, self).do_handshake(block))
        except BaseException:
            self.close()  # nobody else has this object yet
            raise


def client_context(*, verify: bool = True) -> ssl.SSLContext:
    """Return a context that trusts the system's roots, or anybody if not to *verify*."""
    context = ssl.create_default_context()
    context.sslsocket_class = _PatientTls
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
