"""Cache maps: the digests of operations, and the contribution of their inputs."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarkit import llb
from tarkit.errors import UsageError
from tarkit.image.digest import Digest
from tarkit.image.platform import Platform
from tarkit.llb.messages import (
    CacheOpt,
    CacheSharing,
    ChownOpt,
    ExecOp,
    FileAction,
    FileActionCopy,
    FileActionMkDir,
    FileActionSymlink,
    FileOp,
    HostIP,
    Input,
    Meta,
    Mount,
    MountContentCache,
    MountType,
    NamedUser,
    Op,
    ProxyEnv,
    SourceOp,
    UserOpt,
)
from tarkit.llb.messages import Platform as PlatformMessage
from tarkit.rootfs.content_query import ContentQuery
from tarkit.solver.keys.cache_map import CacheMap, InputRule
from tarkit.solver.keys.digests import (
    content_record,
    joined_digest,
    record_digest,
    source_digest,
    text_digest,
)
from tarkit.solver.keys.gojson import go_json, go_object
from tarkit.solver.keys.operations import operation_map
from tarkit.solver.keys.paths import outermost
from tarkit.solver.keys.sources import (
    Response,
    Revision,
    blob_map,
    git_map,
    http_filename,
    http_map,
    image_map,
    local_map,
)

AMD64 = Platform("linux", "amd64")
ROOT = Mount(dest="/")
DIGEST = "sha256:" + "1" * 64


def h(text: str) -> str:
    return "sha256:" + sha256(text.encode()).hexdigest()


def op_with(count: int = 1, **operation: Any) -> Op:
    return Op(inputs=[Input(digest=f"sha256:{n}") for n in range(count)], **operation)


def process(*mounts: Mount, count: int = 1, meta: Meta | None = None, **fields: Any) -> CacheMap:
    op = ExecOp(meta=meta or Meta(args=["x"]), mounts=mounts, **fields)
    return operation_map(op_with(count, exec=op), AMD64)


def files(*actions: FileAction, count: int = 1) -> CacheMap:
    return operation_map(op_with(count, file=FileOp(actions=actions)))


def copy(
    src: str = "/a", secondary: int = 1, first: int = 0, output: int = 0, **fields: Any
) -> FileAction:
    return FileAction(
        input=first,
        secondary_input=secondary,
        output=output,
        copy=FileActionCopy(src=src, dest="/", **fields),
    )


def test_the_three_hashes() -> None:
    assert record_digest(DIGEST, 2) == h(f"{DIGEST}@2")
    assert content_record(DIGEST) == h(f"{DIGEST}@-1")
    assert source_digest("k") == h("buildkit.source.v0:k")
    local = source_digest("session:x")
    assert local == "random:" + h("buildkit.source.v0:session:x").removeprefix("sha256:")
    assert record_digest(local, 0).startswith("random:")
    assert joined_digest(["/a", "/b"]) == h("/a\0/b")


def test_text_is_escaped_as_in_go() -> None:
    text = '<>&\u2028\u2029é\x01\b\f\n\r\t\x7f/\\"😀'
    assert go_json([text]) == (
        '["\\u003c\\u003e\\u0026\\u2028\\u2029é\\u0001\\b\\f\\n\\r\\t\x7f/\\\\\\"😀"]'
    )


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        (UserOpt(by_id=7), {"User": {"byId": 7}}),
        (UserOpt(by_id=0), {"User": {}}),
        (
            UserOpt(by_name=NamedUser(name="joe", input=1)),
            {"User": {"byName": {"name": "joe", "input": 1}}},
        ),
        (UserOpt(by_name=NamedUser()), {"User": {"byName": {}}}),
        (UserOpt(), {"User": None}),
    ],
)
def test_users_have_a_level_of_their_own(user: UserOpt, expected: dict[str, Any]) -> None:
    assert go_object(ChownOpt(user=user)) == {"user": expected}


@pytest.mark.parametrize(
    "meta",
    [
        Meta(args=["x"], proxy_env=ProxyEnv(http_proxy="p")),
        Meta(args=["x"], proxy_env=ProxyEnv()),
    ],
)
def test_proxies_do_not_change_the_key(meta: Meta) -> None:
    assert process(ROOT, meta=meta).digests == process(ROOT).digests


def test_addresses_of_hosts_do_not_change_the_key_but_names_do() -> None:
    one, same, other = (
        process(ROOT, meta=Meta(extra_hosts=[HostIP(host=host, ip=ip)])).digests
        for host, ip in (("h", "1.1.1.1"), ("h", "2.2.2.2"), ("i", "1.1.1.1"))
    )
    assert one == same != other


@pytest.mark.parametrize(
    "mount",
    [
        ROOT,
        Mount(dest="/", output=-1),
        Mount(dest="/", input=-1),
        Mount(dest="/", selector="sub"),
        Mount(dest="/", content_cache=MountContentCache.OFF),
    ],
)
def test_a_plain_root_is_not_mentioned(mount: Mount) -> None:
    assert process(mount).digests == process().digests


@pytest.mark.parametrize(
    "mounts",
    [
        [Mount(dest="/", readonly=True)],
        [Mount(dest="/m")],
        [Mount(dest="/", mount_type=MountType.CACHE)],
        [Mount(dest="/", cache=CacheOpt())],
        [Mount(dest="/", result_id="r")],
        [ROOT, Mount(dest="/m", input=-1)],
    ],
)
def test_other_mounts_are_mentioned(mounts: list[Mount]) -> None:
    assert process(*mounts).digests != process().digests


@pytest.mark.parametrize(
    ("identifier", "sharing", "kept"),
    [
        ("/c", CacheSharing.SHARED, {"ID": "/c"}),
        ("ns//c", CacheSharing.SHARED, {"ID": "ns//c"}),
        ("a/b//c", CacheSharing.SHARED, {}),
        ("ns/c", CacheSharing.SHARED, {}),
        ("mine", CacheSharing.SHARED, {}),
        ("/c", CacheSharing.LOCKED, {}),
        ("/c", CacheSharing.PRIVATE, {}),
    ],
)
def test_the_identity_of_a_cache_mount_counts_only_by_default(
    identifier: str, sharing: CacheSharing, kept: dict[str, str]
) -> None:
    mount = Mount(dest="/c", input=-1, cache=CacheOpt(id=identifier, sharing=sharing))
    (written,) = process(mount).document["Exec"]["mounts"]
    assert written["cacheOpt"] == kept


def test_the_platform_of_a_process_is_normalized() -> None:
    op = op_with(
        exec=ExecOp(), platform=PlatformMessage(os="linux", architecture="arm64", variant="v8")
    )
    assert go_json(operation_map(op).document) == (
        '{"Type":"buildkit.exec.v0","Exec":{},"OS":"linux","Arch":"arm64"}'
    )
    arm = operation_map(op_with(exec=ExecOp()), Platform("linux", "arm", "", "1", ("f",)))
    assert go_json(arm.document).endswith(
        '"Arch":"arm","Variant":"v7","OSVersion":"1","OSFeatures":["f"]}'
    )


WHOLE = (ContentQuery(""),)


@pytest.mark.parametrize(
    ("mounts", "paths", "content"),
    [
        ([ROOT], ["/"], None),
        ([Mount(dest="/m")], ["/"], WHOLE),
        ([Mount(dest="/m", selector="b")], ["/b"], None),
        (
            [Mount(dest="/m", selector="b", readonly=True)],
            ["/b"],
            (ContentQuery("/b", follow=True),),
        ),
        (
            [Mount(dest="/m", selector="/b/../c/", output=-1)],
            ["/c"],
            (ContentQuery("/c", follow=True),),
        ),
        ([Mount(dest="/m", content_cache=MountContentCache.OFF)], ["/"], None),
        ([Mount(dest="/", content_cache=MountContentCache.ON)], ["/"], WHOLE),
        ([ROOT, Mount(dest="/m", readonly=True)], ["/", "/"], WHOLE),
        ([Mount(dest="/m", readonly=True), ROOT], ["/", "/"], None),
        ([Mount(dest="/c", mount_type=MountType.CACHE)], ["/"], WHOLE),
        (
            [
                Mount(dest="/m", selector="b/c", readonly=True),
                Mount(dest="/n", selector="b", readonly=True),
            ],
            ["/b/c", "/b"],
            (ContentQuery("/b", follow=True),),
        ),
    ],
)
def test_the_mounts_of_an_input_decide_about_its_keys(
    mounts: list[Mount], paths: list[str], content: tuple[ContentQuery, ...] | None
) -> None:
    assert process(*mounts).inputs == (InputRule(joined_digest(paths), content),)


@pytest.mark.parametrize("kind", [MountType.SECRET, MountType.SSH, MountType.TMPFS])
def test_mounts_without_files_read_no_input(kind: MountType) -> None:
    assert process(Mount(dest="/s", mount_type=kind)).inputs == (InputRule(),)


def test_a_mount_that_changes_cannot_insist_on_a_content_key() -> None:
    with pytest.raises(UsageError, match=r"content of the mount '/m' .* read-only"):
        process(Mount(dest="/m", selector="b", content_cache=MountContentCache.ON))


def test_the_usual_chain_of_actions_is_not_mentioned() -> None:
    actions = [copy(output=-1), copy(first=2)]
    assert "indexes" not in files(*actions, count=2).document
    for count, changed in [
        (2, [copy(first=-1, output=-1), copy(first=2)]),
        (2, [copy(output=-1, secondary=0), copy(first=2)]),
        (2, [copy(), copy(first=2)]),
        (3, [copy(output=-1), copy(first=3)]),
        (0, []),
    ]:
        document = files(*changed, count=count).document
        assert document["indexes"] == [[a.input, a.secondary_input, a.output] for a in changed]


@pytest.mark.parametrize(
    ("src", "name"),
    [("/d/a", "a"), ("/d/", "d"), ("/", "/"), ("", "."), (".", "."), ("/d/.", "."), ("//", "/")],
)
def test_the_directory_of_a_copied_path_is_in_the_selector(src: str, name: str) -> None:
    def action(*actions: FileAction) -> object:
        return files(*actions, count=2).document["Actions"]

    assert action(copy(src)) == action(copy(name))
    assert files(copy(src), count=2).inputs[1].selector == h(src)
    kept = action(copy(src, secondary=2))
    assert (kept == action(copy(name, secondary=2))) == (src == name)


def test_an_input_that_is_changed_has_no_selector() -> None:
    assert files(copy(secondary=0)).inputs == (InputRule(),)
    rules = files(copy(first=1, secondary=0), count=2).inputs
    assert [rule.selector for rule in rules] == [h("/a"), ""]


def test_selectors_are_sorted_downwards_and_content_upwards() -> None:
    actions = [
        copy("/b/c", output=-1),
        copy("/b", first=2, output=-1),
        copy("/b", first=2, output=-1, follow_symlink=True),
        copy("/b/*", first=2, output=-1, allow_wildcard=True),
        copy("/b/\\*", first=2, output=-1, allow_wildcard=True),
        copy("/a", first=2, include_patterns=["*.py"], required_paths=["/a/x"]),
    ]
    rule = files(*actions, count=2).inputs[1]
    assert rule.selector == joined_digest(["/b/c", "/b/\\*", "/b/*", "/b", "/b", "/a"])
    assert rule.content == (
        ContentQuery("/a", include=("*.py",), required=("/a/x",)),
        ContentQuery("/b"),
        ContentQuery("/b", follow=True),
        ContentQuery("/b/*", wildcard=True),
    )


def test_names_of_owners_are_looked_up_except_those_of_links() -> None:
    owner = ChownOpt(user=UserOpt(by_name=NamedUser(name="joe", input=1)), group=UserOpt(by_id=3))
    made = FileAction(secondary_input=-1, mkdir=FileActionMkDir(path="/d", owner=owner))
    link = FileAction(secondary_input=-1, symlink=FileActionSymlink(newpath="/l", owner=owner))
    assert files(made, count=2).inputs == (
        InputRule(),
        InputRule(h("/etc/passwd"), (ContentQuery("/etc/passwd", follow=True),)),
    )
    assert files(link, count=2).inputs == (InputRule(), InputRule())


def test_the_content_digest_joins_those_of_all_paths() -> None:
    rule = InputRule("", (ContentQuery(""), ContentQuery("d/", follow=True)))
    asked = []

    def digests(query: ContentQuery) -> str:
        asked.append(query)
        return f"sha256:{len(asked)}"

    assert rule.content_digest(digests) == h("sha256:1\0sha256:2")
    assert asked == [ContentQuery("/"), ContentQuery("/d", follow=True)]
    with pytest.raises(UsageError, match="cannot be its cache key"):
        InputRule().content_digest(digests)


PATHS = st.lists(
    st.lists(st.sampled_from(["a", "ab", "b"]), max_size=3).map(lambda p: "/" + "/".join(p))
)


@given(PATHS)
def test_outermost_paths_cover_all_others(paths: list[str]) -> None:
    kept = outermost(paths)
    assert kept == sorted(set(kept))
    assert {*kept} <= {*paths}

    def covers(above: str, path: str) -> bool:
        return path == above or path.startswith(above.rstrip("/") + "/")

    assert all(any(covers(above, path) for above in kept) for path in paths)
    assert not any(covers(one, other) for one in kept for other in kept if one != other)


def source(identifier: str, **attrs: str) -> Op:
    return Op(
        source=SourceOp(
            identifier=identifier, attrs={k.replace("__", "."): v for k, v in attrs.items()}
        )
    )


DIFF_IDS = [Digest.of(b"one"), Digest.of(b"two")]


def test_an_image_has_a_key_by_digest_and_one_by_its_layers() -> None:
    found = image_map(source("docker-image://x"), DIGEST, DIFF_IDS, platform=AMD64)
    document = f'{{"Digest":"{DIGEST}","OS":"linux","Arch":"amd64"}}'
    chain = h(f"{DIFF_IDS[0]} {DIFF_IDS[1]}")
    assert found.digests == (source_digest(h(document)), source_digest(chain))
    again = image_map(source("oci-layout://y", oci__store="s"), DIGEST, DIFF_IDS, platform=AMD64)
    assert again.digests == found.digests


def test_a_layer_limit_changes_both_keys_of_an_image() -> None:
    found = image_map(
        source("docker-image://x", image__layerlimit="1"), DIGEST, DIFF_IDS, platform=AMD64
    )
    document = f'{{"Digest":"{DIGEST}","OS":"linux","Arch":"amd64","Limit":1}}'
    assert found.digests == (source_digest(h(document)), source_digest(str(DIFF_IDS[0])))


def test_an_image_without_layers_has_one_key() -> None:
    assert len(image_map(source("docker-image://x"), DIGEST, []).digests) == 1


@pytest.mark.parametrize("limit", ["0", "-1", "x", "1.5", "²"])
def test_a_wrong_layer_limit_is_an_error(limit: str) -> None:
    with pytest.raises(UsageError, match="layer limit"):
        image_map(source("oci-layout://x", oci__layerlimit=limit), DIGEST, DIFF_IDS)


def test_the_key_of_a_directory_is_that_of_a_session() -> None:
    keys = {local_map(source("local://x", **attrs), session).digests for attrs, session in [
        ({}, "1"), ({}, "2"), ({"local__followpaths": "[]"}, "1"),
    ]}  # fmt: skip
    assert len(keys) == 3
    assert all(digest.startswith("random:") for (digest,) in keys)
    assert local_map(source("local://x"), "1").digests in keys


@pytest.mark.parametrize(
    ("url", "header", "name"),
    [
        ("https://h/f.txt", "", "f.txt"),
        ("https://h/q/a%20b?x=/1#y", "", "a b"),
        ("https://h/dir/", "", "dir"),
        ("https://h/", "", "download"),
        ("https://h", "", "download"),
        ("https://h/..", "", ".."),
        ("https://[/f", "", "download"),
        ("https://h/f", "attachment; filename=g", "g"),
        ("https://h/f", 'attachment; filename="../x/g"', "g"),
        ("https://h/f", "attachment; filename*=UTF-8''%c3%a4", "ä"),
        ("https://h/f", 'attachment; filename="g/"', "f"),
        ("https://h/f", "attachment", "f"),
        ("https://h/f", "filename=g", "f"),
        ("https://h/f", "\r\nX: y", "f"),
    ],
)
def test_a_download_has_a_name(url: str, header: str, name: str) -> None:
    assert http_filename(SourceOp(identifier=url), header) == name
    given = SourceOp(identifier=url, attrs={"http.filename": "given"})
    assert http_filename(given, header) == "given"


@given(
    st.text(max_size=60),
    st.sampled_from(["", "attachment; filename", "a; filename*=", "a; filename*0*="]),
)
def test_no_header_of_a_server_breaks_the_name(text: str, start: str) -> None:
    name = http_filename(SourceOp(identifier="https://h/f"), start + text)
    assert name
    assert "/" not in name


def test_the_key_of_a_download_is_its_response() -> None:
    attrs = {
        "http.header.user-agent": "u",
        "http.header.accept": "a",
        "http.authheadersecret": "s",
    }
    op = Op(source=SourceOp(identifier="https://h/f", attrs=attrs))
    found = http_map(op, Response("sha256:1", "Mon, 02 Jan 2023 03:04:05 GMT"))
    assert go_json(found.document) == (
        '{"Filename":"f","Perm":0,"UID":0,"GID":0,"Checksum":"sha256:1",'
        '"LastModTime":"Mon, 02 Jan 2023 03:04:05 GMT","AuthHeaderSecret":"s",'
        '"Header":[{"Name":"Accept","Value":"a"},{"Name":"User-Agent","Value":"u"}]}'
    )


def test_a_checksum_makes_a_request_unnecessary() -> None:
    op = source("https://h/f", http__checksum="sha256:1", http__perm="0640", http__uid="5")
    document = '{"Filename":"f","Perm":416,"UID":5,"GID":0,"Checksum":"sha256:1"}'
    found = http_map(op)
    assert found.digests == (source_digest(h(document)),)
    assert http_map(op, Response("sha256:2", "late", "filename=g")) == found
    with pytest.raises(UsageError, match="no checksum"):
        http_map(source("https://h/f"))
    with pytest.raises(UsageError, match=r"http\.perm '8' is not a number"):
        http_map(source("https://h/f", http__checksum="sha256:1", http__perm="8"))


@pytest.mark.parametrize(
    ("identifier", "attrs", "key"),
    [
        ("git://h/r", {}, "c"),
        ("git://h/r#v1", {}, "c"),
        ("git://h/r#v1:sub/./d/", {}, "c:sub/d"),
        ("git://h/r#v1:/", {}, "c"),
        ("git://h/r#v1", {"git__keepgitdir": "true"}, "t.git#refs/tags/v1"),
        (
            "git://h/r",
            {"git__skipsubmodules": "true", "git__mtime": "commit"},
            "c(skip-submodules)(mtime=commit)",
        ),
        ("git://h/r", {"git__mtime": "checkout", "git__keepgitdir": "false"}, "c"),
        (
            "git://h/r#:s",
            {
                "git__keepgitdir": "true",
                "git__skipsubmodules": "true",
                "git__checkoutbundle": "true",
            },
            "t.git#refs/tags/v1:s(skip-submodules)(bundle)",
        ),
    ],
)
def test_the_key_of_a_repository_is_text(identifier: str, attrs: dict[str, str], key: str) -> None:
    found = git_map(source(identifier, **attrs), Revision("c", "refs/tags/v1", "t"))
    assert found.document == {"Git": key}
    assert found.digests == (source_digest(key),)


def test_without_an_annotated_tag_the_git_directory_is_that_of_the_commit() -> None:
    op = source("git://h/r", git__keepgitdir="true")
    assert git_map(op, Revision("c", "c")).document == {"Git": "c.git#c"}


def test_the_key_of_a_blob_is_its_digest() -> None:
    document = f'{{"Digest":"{DIGEST}","Filename":"","Perm":0,"UID":0,"GID":0}}'
    found = blob_map(source(f"docker-image+blob://h/r@{DIGEST}"))
    assert found.digests == (source_digest(text_digest(document)),)
    assert blob_map(source(f"oci-layout+blob://x@{DIGEST}")).digests == found.digests


def test_sources_and_operations_are_not_confused() -> None:
    with pytest.raises(UsageError, match="key of a source"):
        operation_map(source("local://x"))
    with pytest.raises(UsageError, match="not a source"):
        blob_map(op_with(file=FileOp()))


def test_a_build_is_hashed_with_its_whole_definition() -> None:
    definition = llb.scratch().file(llb.mkfile("/a", b"x")).marshal().message
    op = op_with(build=llb.messages.BuildOp(builder=-1, definition=definition))
    document = operation_map(op).document
    assert list(document) == ["Type", "Exec"]
    assert list(document["Exec"]) == ["builder", "def"]
    assert list(document["Exec"]["def"])[:2] == ["def", "metadata"]
    assert len(document["Exec"]["def"]["def"]) == 2
