"""SSH agents: ``moby.sshforward.v1.SSH``."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tarkit.gateway.buildkit.messages.session import CheckAgentRequest
from tarkit.gateway.buildkit.messages.status import BytesMessage, Empty
from tarkit.gateway.buildkit.peer import Call, Handler
from tarkit.gateway.buildkit.pipes import READ
from tarkit.gateway.buildkit.status import Code, StatusError
from tarkit.streams.os_errors import os_errors
from tarkit.streams.threads import start_thread

_DEFAULT = "default"


def agent_handlers(agents: Mapping[str, Path]) -> dict[str, Handler]:
    """Return the handlers that connect the daemon with the sockets of *agents*, by ID."""

    def check(call: Call) -> None:
        request = call.receive(CheckAgentRequest)
        _socket_of(agents, request.id if request is not None else "")
        call.send(Empty())

    def forward(call: Call) -> None:
        path = _socket_of(agents, next(iter(call.values("buildkit.ssh.id")), ""))
        with os_errors(path), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
            agent.connect(str(path))
            start_thread(lambda: _upstream(call, agent), "ssh-agent")
            while data := agent.recv(READ):
                call.send(BytesMessage(data=data))

    service = "/moby.sshforward.v1.SSH"
    return {f"{service}/CheckAgent": check, f"{service}/ForwardAgent": forward}


def _socket_of(agents: Mapping[str, Path], name: str) -> Path:
    path = agents.get(name or _DEFAULT)
    if path is None:
        raise StatusError(Code.NOT_FOUND, f"unset ssh forward key {name[:200]}")
    return path


def _upstream(call: Call, agent: socket.socket) -> None:
    """Pass the daemon's requests on, and close the agent's side after the last."""
    try:
        for message in call.messages(BytesMessage):
            agent.sendall(message.data)
    except (OSError, StatusError):
        pass  # the other direction tells the failure
    finally:
        with suppress(OSError):  # closed already
            agent.shutdown(socket.SHUT_WR)
