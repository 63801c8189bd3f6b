"""Configurations of containers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tarkit.executor.bundle import config, environment
from tarkit.executor.container import (
    Bind,
    Container,
    Mount,
    Network,
    Process,
    Tmpfs,
    Ulimit,
    User,
)

ROOT = Path("/root-of-container")


def mounts(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["destination"]: each for each in document["mounts"]}


def test_a_container_has_the_capabilities_of_the_sandbox() -> None:
    found = config(Container(ROOT), Process(["/bin/true"]), cgroup="/tarkit/x")
    capabilities = found["process"]["capabilities"]
    assert set(capabilities) == {"bounding", "effective", "permitted"}
    assert "CAP_SYS_ADMIN" not in capabilities["bounding"]
    assert len(capabilities["bounding"]) == 14
    assert found["linux"]["seccomp"]["defaultAction"] == "SCMP_ACT_ALLOW"
    assert "/proc/kcore" in found["linux"]["maskedPaths"]
    assert found["linux"]["resources"]["devices"] == [{"allow": False, "access": "rwm"}]


def capabilities_in(document: dict[str, Any]) -> set[str]:
    return set(document["process"]["capabilities"]["effective"])


def test_an_insecure_container_has_all_capabilities_and_no_filter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tarkit.executor.capabilities._own", lambda: -1)
    found = config(Container(ROOT, insecure=True), Process(["x"]), cgroup="/tarkit/x")
    assert "CAP_SYS_ADMIN" in capabilities_in(found)
    assert len(capabilities_in(found)) == 41
    assert {"seccomp", "maskedPaths", "readonlyPaths"} & set(found["linux"]) == set()
    assert "rw" in mounts(found)["/sys"]["options"]


@pytest.mark.parametrize(
    ("network", "path", "expected"),
    [
        (Network.NONE, "", [{"type": "network"}]),
        (Network.SANDBOX, "/proc/1/ns/net", [{"type": "network", "path": "/proc/1/ns/net"}]),
        (Network.HOST, "", []),
    ],
)
def test_networks_are_namespaces(
    network: Network, path: str, expected: list[dict[str, str]]
) -> None:
    found = config(Container(ROOT, network=network), Process(["x"]), network_path=path)
    namespaces = found["linux"]["namespaces"]
    assert [each for each in namespaces if each["type"] == "network"] == expected


def test_without_root_there_are_no_cgroups_and_no_groups() -> None:
    process = Process(["x"], user=User(1, 2, (3,)))
    found = config(Container(ROOT), process)
    assert found["process"]["user"] == {"uid": 1, "gid": 2}
    assert "resources" not in found["linux"]
    assert "/sys/fs/cgroup" not in mounts(found)
    assert "gid=5" not in mounts(found)["/dev/pts"]["options"]


def test_users_have_their_primary_group_as_a_supplementary_one() -> None:
    process = Process(["x"], user=User(500, 501, (33,)))
    found = config(Container(ROOT), process, cgroup="/c")
    assert found["process"]["user"]["additionalGids"] == [33, 501]


def test_mounts_follow_those_of_the_system_in_order() -> None:
    given: list[Mount] = [
        Bind(Path("/a"), "/m", readonly=True),
        Bind(Path("/b"), "/m/n"),
        Tmpfs("/t", 4096),
    ]
    found = config(Container(ROOT, readonly=True, mounts=given), Process(["x"]))
    assert found["root"] == {"path": str(ROOT), "readonly": True}
    own = found["mounts"][-3:]
    assert [each["destination"] for each in own] == ["/m", "/m/n", "/t"]
    assert [each["options"][-1] for each in own] == ["ro", "rw", "size=4096"]


def test_a_process_has_its_limits_and_default_variables() -> None:
    process = Process(["x"], ["A=b"], ulimits=[Ulimit("nofile", 1, 2)], terminal=True)
    found = config(Container(ROOT), process)["process"]
    assert found["rlimits"] == [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 2}]
    assert [each.partition("=")[0] for each in found["env"]] == ["PATH", "TERM", "A"]
    assert environment(Process(["x"], ["PATH=/x", "PATH_=1"])) == ["PATH=/x", "PATH_=1"]
