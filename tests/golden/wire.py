"""A recorded build on the wire: every message is decoded, known in full, and encoded to the same bytes."""

from __future__ import annotations

from tarkit.gateway.buildkit.messages import bridge, control
from tarkit.gateway.buildkit.messages.files import Packet
from tarkit.gateway.buildkit.messages.status import BytesMessage, Empty, HealthCheckResponse
from tarkit.gateway.buildkit.session import Session
from tarkit.llb.wire import Message
from tests.golden.runner import Case, Skipped

_CONTROL, _BRIDGE = "/moby.buildkit.v1.Control", "/moby.buildkit.v1.frontend.LLBBridge"
_SYNC, _SEND = "/moby.filesync.v1.FileSync/DiffCopy", "/moby.filesync.v1.FileSend/DiffCopy"
_HEALTH = "/grpc.health.v1.Health/Check"
_KINDS: dict[str, tuple[type[Message], type[Message]]] = {
    f"{_CONTROL}/ListWorkers": (control.ListWorkersRequest, control.ListWorkersResponse),
    f"{_CONTROL}/Solve": (control.SolveRequest, control.SolveResponse),
    f"{_CONTROL}/Status": (control.StatusRequest, control.StatusResponse),
    f"{_BRIDGE}/Ping": (Empty, bridge.PongResponse),
    f"{_BRIDGE}/Solve": (bridge.SolveRequest, bridge.SolveResponse),
    f"{_BRIDGE}/ReadFile": (bridge.ReadFileRequest, bridge.ReadFileResponse),
    f"{_BRIDGE}/ReadDir": (bridge.ReadDirRequest, bridge.ReadDirResponse),
    f"{_BRIDGE}/StatFile": (bridge.StatFileRequest, bridge.StatFileResponse),
    f"{_BRIDGE}/Return": (bridge.ReturnRequest, Empty),
    _SYNC: (Packet, Packet),
    _SEND: (BytesMessage, BytesMessage),
    _HEALTH: (HealthCheckResponse, Empty),
}
"""The messages of the client and of the daemon."""

_SHUFFLED = {
    (f"{_CONTROL}/ListWorkers", "daemon"),
    (f"{_BRIDGE}/Ping", "daemon"),
    (f"{_BRIDGE}/Solve", "client"),
    (f"{_BRIDGE}/Solve", "daemon"),
}
"""They have maps, whose order Go chooses at random."""


def run(case: Case) -> None:
    """Compare a message, or the headers of the session."""
    if "session_headers" in case:
        names = {name.lower() for name, _ in case["session_headers"]}
        assert names <= {name for name, _ in Session({}).metadata}
        return
    if case.get("cut"):
        raise Skipped("only the beginning was recorded")
    if case["rpc"] not in _KINDS:
        raise Skipped(f"no messages of {case['rpc']}")
    kind = _KINDS[case["rpc"]][case["from"] == "daemon"]
    data = bytes.fromhex(case["hex"])
    message = kind.decode(data)
    assert not message.unknown_fields, f"{kind.__name__} has unknown fields"
    encoded = message.encode()
    if (case["rpc"], case["from"]) in _SHUFFLED:
        assert len(encoded) == len(data), kind.__name__
        assert sorted(encoded) == sorted(data), kind.__name__
        assert kind.decode(encoded) == message, kind.__name__
    else:
        assert encoded == data, kind.__name__
