"""Test states: values are inherited, and operations become vertices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tarkit import llb
from tarkit.errors import MalformedError, RefusedError, UsageError
from tarkit.image.platform import Platform
from tarkit.llb.messages import Meta, Op

AMD64 = "linux/amd64"


def ops(state: llb.State, **options: Any) -> list[Op]:
    """Return the operations of *state*, inputs first."""
    options = {"platform": AMD64, "local_unique_id": "u"} | options
    return [Op.decode(vertex) for vertex in state.marshal(**options).vertices[:-1]]


def meta(state: llb.State, **options: Any) -> Meta:
    """Return the process of the last vertex."""
    op = ops(state, **options)[-1]
    assert op.exec is not None
    assert op.exec.meta is not None
    return op.exec.meta


def test_states_are_immutable() -> None:
    base = llb.image("busybox")
    base.env("A", "1").dir("/w").run("x")
    assert base.environment == llb.image("busybox").environment


def test_options_of_one_run_do_not_stay() -> None:
    base = llb.image("busybox").env("A", "1").dir("/w")
    first = base.run("x", env={"B": "2"}, dir="sub", user="joe", network="none", security="insecure",
                     extra_hosts={"db": "10.0.0.1"}, ulimits={"nofile": (1, 2)}, valid_exit_codes=[3])  # fmt: skip
    assert list(meta(first).env) == ["A=1", "B=2"]
    assert (meta(first).cwd, meta(first).user, list(meta(first).valid_exit_codes)) == (
        "/w/sub",
        "joe",
        [3],
    )
    second = meta(first.run("y"))
    assert (list(second.env), second.cwd, second.user) == (["A=1"], "/w", "")
    assert not second.extra_hosts
    assert not second.ulimit
    assert not second.valid_exit_codes


def test_set_arguments_are_the_default() -> None:
    assert list(meta(llb.image("a").args(["x", "y"]).run()).args) == ["x", "y"]
    with pytest.raises(UsageError, match=r"test_state\.py:\d+: a process needs arguments"):
        ops(llb.image("a").run())


def test_an_image_config_sets_variables_directory_and_platform() -> None:
    config = {"os": "linux", "architecture": "arm64", "variant": "v8",
              "config": {"Env": ["A=1=2", "=x", "B"], "WorkingDir": "/app"}}  # fmt: skip
    state = llb.image("a").image_config(config)
    assert state.environment.env == (("A", "1=2"), ("B", ""))
    assert state.environment.platform == Platform("linux", "arm64")
    assert meta(state.run("x")).cwd == "/app"
    for wrong in ("{", "[]", '{"config": 1}', '{"config": {"Env": [1]}}'):
        with pytest.raises(MalformedError, match="image config"):
            llb.image("a").image_config(wrong)


def test_hosts_have_canonical_addresses() -> None:
    state = llb.image("a").extra_host("a", "2001:DB8::0:1").extra_host("b", "::ffff:1.2.3.4")
    assert [host.ip for host in state.environment.extra_hosts] == ["2001:db8::1", "1.2.3.4"]
    with pytest.raises(UsageError, match="'db' is not an IP address"):
        llb.image("a").extra_host("a", "db")


def test_unknown_options_and_modes_are_refused() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'custom'"):
        llb.image("a", custom="x")  # type: ignore[call-arg]
    with pytest.raises(UsageError, match="not a network"):
        llb.image("a").network("bridge")
    with pytest.raises(UsageError, match="not a security mode"):
        llb.image("a").security("root")
    with pytest.raises(UsageError, match="not a resolve mode"):
        llb.image("a", resolve_mode="never")
    with pytest.raises(UsageError, match="not shared, private or locked"):
        llb.cache("/c", sharing="common")
    with pytest.raises(UsageError, match="needs a file or a variable"):
        llb.secret()
    with pytest.raises(UsageError, match="lower case"):
        llb.image("repo/UPPER")


def test_the_result_of_a_process_is_its_root_or_a_mount() -> None:
    run = llb.image("a").run(
        "x", mounts=[llb.bind("/out"), llb.bind("/in", llb.image("b"), readonly=True)]
    )
    assert run.marshal(platform=AMD64).head == run.root().marshal(platform=AMD64).head
    head = run.mount("/out").marshal(platform=AMD64).head
    assert head is not None
    assert head.index == 1
    assert ops(run.mount("/in")) == ops(llb.image("b"))
    with pytest.raises(UsageError, match="no mount at '/other'"):
        run.mount("/other")


@pytest.mark.parametrize(
    "mount", [llb.tmpfs("/t"), llb.cache("/t", "id"), llb.bind("/t", no_output=True)]
)
def test_mounts_without_results_cannot_be_used(mount: llb.Mount) -> None:
    result = llb.image("a").run("x", mounts=[mount]).mount("/t")
    with pytest.raises(UsageError, match="at /t has no result"):
        ops(result)


def test_secrets_and_agents_follow_the_other_mounts() -> None:
    secrets = [llb.secret("/s", id="one"), llb.secret(env="TOKEN", id="two", optional=True)]
    agents = [llb.ssh(), llb.ssh("k", "/agent", mode=0o666)]
    op = ops(llb.image("a").run("x", mounts=[*agents, *secrets, llb.tmpfs("/t", size=5)]))[-1].exec
    assert op is not None
    found = [(mount.dest, int(mount.mount_type)) for mount in op.mounts]
    assert found == [
        ("/", 0),
        ("/t", 4),
        ("/s", 1),
        ("/run/buildkit/ssh_agent.0", 2),
        ("/agent", 2),
    ]
    assert [(secret.id, secret.name, secret.optional) for secret in op.secret_env] == [
        ("two", "TOKEN", True)
    ]
    assert op.meta is not None
    assert list(op.meta.env) == ["SSH_AUTH_SOCK=/run/buildkit/ssh_agent.0"]


def test_combining_states() -> None:
    one, two = (llb.scratch().file(llb.mkfile(f"/{n}")) for n in "12")
    assert llb.merge([]).output is None
    assert llb.merge([llb.scratch(), one]).output is one.output
    assert [op.which("op") for op in ops(llb.merge([one, two]))] == ["file", "file", "merge"]
    assert llb.diff(llb.scratch(), two).output is two.output
    assert [op.which("op") for op in ops(one.build("def.pb"))] == ["file", "build"]
    with pytest.raises(UsageError, match="contains no definition"):
        ops(llb.scratch().build())


def test_requirements() -> None:
    one, two = llb.image("a").dir("/w"), llb.image("b")
    assert one.requires("id") is one
    required = one.requires("id", two, llb.scratch())
    assert required.environment.directory() == "/w"
    last = ops(required)[-1]
    assert last.passthrough is not None
    assert (last.passthrough.id, list(last.passthrough.outputs), len(last.inputs)) == ("id", [0], 2)
    with pytest.raises(UsageError, match="needs a name"):
        ops(one.requires("", two))
    with pytest.raises(UsageError, match="empty file system"):
        ops(llb.scratch().requires("id", two))


def test_actions_that_are_copied_from_are_in_the_operation_once() -> None:
    made = llb.mkfile("/x").on(llb.scratch())
    state = llb.scratch().file(llb.copy(made, "/x", "/a").copy(made, "/x", "/b"))
    op = ops(state)[-1].file
    assert op is not None
    assert [action.which("action") for action in op.actions] == ["mkfile", "copy", "copy"]
    assert [action.secondary_input for action in op.actions] == [-1, 0, 0]
    with pytest.raises(UsageError, match="has no actions"):
        ops(llb.scratch().file(llb.copy(llb.FileActions().on(llb.scratch()), "/", "/")))
    with pytest.raises(UsageError, match="at least one action"):
        ops(llb.scratch().file(llb.FileActions()))


@pytest.mark.parametrize(
    ("owner", "user", "group"),
    [("1:2", 1, 2), ("root", 0, None), (":5", 0, 5), ("-1:root", 2**32 - 1, 0), ((7, 8), 7, 8)],
)
def test_owners_by_number(owner: Any, user: int, group: int | None) -> None:
    op = ops(llb.scratch().file(llb.mkdir("/d", owner=owner)))[-1].file
    assert op is not None
    found = op.actions[0].mkdir
    assert found is not None
    assert found.owner is not None
    assert found.owner.user is not None
    assert found.owner.user.by_id == user
    assert (found.owner.group.by_id if found.owner.group else None) == group


def test_a_location_is_served_by_the_client() -> None:
    state = llb.docker_archive("app.tar", "app:1").run("x")
    with pytest.raises(RefusedError, match=r"docker-archive:app.tar:app:1: only a client"):
        ops(state)
    asked = []

    def resolve(location: str, platform: Platform) -> llb.ResolvedImage:
        asked.append((location, str(platform)))
        return llb.ResolvedImage("app@sha256:" + "1" * 64, session="s", store="t")

    source = ops(state, resolve=resolve)[0].source
    assert asked == [("docker-archive:app.tar:app:1", AMD64)]
    assert source is not None
    assert source.identifier == "oci-layout://app@sha256:" + "1" * 64
    assert source.attrs == {"oci.session": "s", "oci.store": "t"}
    llb.location("oci:dir:tag", platform="linux/arm64").marshal(resolve=resolve, platform=AMD64)
    assert asked[1] == ("oci:dir:tag", "linux/arm64")


@pytest.mark.parametrize(
    ("url", "identifier", "full"),
    [
        ("github.com/a/b", "github.com/a/b", "https://github.com/a/b"),
        ("https://u:p@h:8443/a/../b.git#v1:sub", "h:8443/b.git#v1:sub", "https://u:p@h:8443/a/../b.git"),
        ("git@h:a/b.git", "h/a/b.git", "git@h:a/b.git"),
        ("ssh://git@h/a", "h/a", "ssh://git@h/a"),
        ("ftp://h/a", "ftp://h/a", "ftp://h/a"),
    ],
)  # fmt: skip
def test_repositories(url: str, identifier: str, full: str) -> None:
    source = ops(llb.git(url))[0].source
    assert source is not None
    assert source.identifier == f"git://{identifier}"
    assert source.attrs["git.fullurl"] == full
    assert ("git.mountsshsock" in source.attrs) == url.startswith(("git@", "ssh"))


def test_platforms_are_normalized_for_what_follows_a_source() -> None:
    for given, expected in [("linux/arm64/v8", "linux/arm64"), ("linux/arm", "linux/arm/v7")]:
        state = llb.image("a", platform=given).run("x")
        assert str(state.environment.platform) == expected
        source, process = ops(state)
        assert source.platform is not None
        assert process.platform is not None
        assert source.platform.variant == "".join(given.split("/")[2:])
        assert process.platform.variant == "".join(expected.split("/")[2:])


def test_long_chains_need_no_recursion() -> None:
    state = llb.scratch()
    for number in range(3000):
        state = state.file(llb.mkfile(f"/{number}"))
    definition = state.marshal()
    assert len(definition.vertices) == 3001
    assert len(llb.State.from_definition(definition).marshal().vertices) == 3001


def test_the_lines_that_made_vertices_are_recorded() -> None:
    state = llb.image("a").file(llb.mkdir("/x"))
    definition = state.marshal(platform=AMD64)
    source = definition.source
    assert source is not None
    assert [(info.filename, info.language, info.data) for info in source.infos] == [
        ("tests/llb/test_state.py", "Python", b"")
    ]
    for digest in definition.digests[:-1]:
        start = source.locations[digest].locations[0].ranges[0].start
        assert start is not None
        assert b"llb.mkdir" in line_of_this_file(start.line)
    plain = state.marshal(platform=AMD64, record_lines=False)
    assert plain.vertices == definition.vertices
    assert plain.source is not None
    assert not plain.source.infos
    text = state.marshal(platform=AMD64, include_source=True).source
    assert text is not None
    assert b"include_source=True" in text.infos[0].data


def line_of_this_file(number: int) -> bytes:
    return Path(__file__).read_bytes().splitlines()[number - 1]


def test_a_location_of_its_own_replaces_the_line() -> None:
    source_map = llb.SourceMap("Dockerfile", b"FROM a", "Dockerfile")
    same = llb.SourceMap("Dockerfile", b"FROM a", "Dockerfile")
    state = llb.image(
        "a", locations=[source_map.location(llb.lines(1)), same.location(llb.lines(2, 3))]
    )
    source = state.marshal(platform=AMD64).source
    assert source is not None
    assert [info.filename for info in source.infos] == ["Dockerfile"]
    (found,) = source.locations.values()
    assert [location.source_index for location in found.locations] == [0, 0]


def test_constraints_of_the_whole_definition_come_first() -> None:
    state = llb.image("a", require=["own"], description={"k": "own"}, custom_name="n")
    definition = state.marshal(platform=AMD64, require=["all"], description={"k": "all", "l": "all"},
                               ignore_cache=True, export_cache=False)  # fmt: skip
    op = Op.decode(definition.vertices[0])
    assert op.constraints is not None
    assert list(op.constraints.filter) == ["all", "own"]
    facts = definition.metadata[definition.digests[0]]
    assert facts.description == {"k": "own", "l": "all", "llb.customname": "n"}
    assert facts.ignore_cache
    assert facts.export_cache is not None
    assert not facts.export_cache.value
    assert {"meta.ignorecache", "meta.description", "meta.exportcache"} <= definition.capabilities


def test_local_directories_get_a_random_identifier() -> None:
    first, second = (llb.local("context").marshal(platform=AMD64) for _ in range(2))
    assert first.digests[0] != second.digests[0]
    same = [llb.local("context").marshal(platform=AMD64, local_unique_id="x") for _ in range(2)]
    assert same[0].digests == same[1].digests
