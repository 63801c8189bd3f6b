"""BuildKit's daemons behind the client: gRPC over HTTP/2, and the services that a build calls back.

:mod:`protocol` is the protocol without I/O; :mod:`peer` runs it on a :class:`~pipes.Pipe`.
"""
