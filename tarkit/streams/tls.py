"""TLS sockets whose waits can be cancelled."""

from __future__ import annotations

import ssl

from tarkit.streams.sockets import CancellableSocket


class _CancellableTls(CancellableSocket, ssl.SSLSocket):  # type: ignore[misc]  # the signatures differ in names only
    def do_handshake(self, block: bool = False) -> None:
        """Perform the handshake; the timeout covers all of it."""
        try:
            # super(CancellableSocket, self) is the handshake of ssl.SSLSocket.
            self._retry(lambda: super(CancellableSocket, self).do_handshake(block))
        except BaseException:
            self.close()  # the caller does not have this object yet
            raise


def client_context(*, verify: bool = True) -> ssl.SSLContext:
    """Return a context with the system's root certificates; trust any server if not *verify*."""
    context = ssl.create_default_context()
    context.sslsocket_class = _CancellableTls
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
