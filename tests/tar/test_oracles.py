"""Agreement with Python's tarfile and GNU tar, reading and writing."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarkit.tar.member import Member, MemberType, Segment
from tarkit.tar.reader import TarReader
from tarkit.tar.sparse import logical
from tarkit.tar.writer import TarWriter
from tests.tar.blocks import contents
from tests.tar.test_writer import described, read, sparse_members, written


@dataclass(frozen=True, slots=True)
class Seen:
    """The fields that two readers of an archive must agree on."""

    name: bytes
    type: MemberType
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    linkname: bytes
    uname: bytes
    gname: bytes
    device: tuple[int, int]
    data: bytes


TYPES = {
    tarfile.REGTYPE: MemberType.FILE, tarfile.AREGTYPE: MemberType.FILE,
    tarfile.LNKTYPE: MemberType.HARDLINK, tarfile.SYMTYPE: MemberType.SYMLINK,
    tarfile.CHRTYPE: MemberType.CHAR, tarfile.BLKTYPE: MemberType.BLOCK,
    tarfile.DIRTYPE: MemberType.DIRECTORY, tarfile.FIFOTYPE: MemberType.FIFO,
    tarfile.GNUTYPE_SPARSE: MemberType.FILE,
}  # fmt: skip
DEVICES = (MemberType.CHAR, MemberType.BLOCK)


def seen_by_tarkit(archive: bytes) -> list[Seen]:
    return [
        Seen(
            member.name.rstrip(b"/"), member.type, member.mode, member.uid, member.gid, member.size,
            member.mtime_ns, member.linkname, member.uname, member.gname,
            (member.devmajor, member.devminor), content,
        )
        for member, content in contents(archive)
    ]  # fmt: skip


def seen_by_tarfile(archive: bytes) -> list[Seen]:
    def raw(text: str) -> bytes:
        return text.encode("utf-8", "surrogateescape")

    seen = []
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:", encoding="utf-8") as tar:
        for info in tar:
            kind = TYPES[info.type]
            content = tar.extractfile(info) if kind is MemberType.FILE else None
            link = raw(info.linkname) if kind.is_link else b""
            device = (info.devmajor, info.devminor) if kind in DEVICES else (0, 0)
            seen.append(
                Seen(
                    raw(info.name).rstrip(b"/"), kind, info.mode & 0o7777, info.uid, info.gid,
                    info.size if content else 0, round(info.mtime) * 10**9, link, raw(info.uname),
                    raw(info.gname), device, content.read() if content else b"",
                )
            )  # fmt: skip
    return seen


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
NAMES = TEXT.filter(lambda text: text.strip("/") != "")


@st.composite
def infos(draw: st.DrawFn, octal: bool) -> tuple[tarfile.TarInfo, bytes]:
    """Generate a member for tarfile to write; *octal* limits values to those of ustar fields."""
    info = tarfile.TarInfo(draw(NAMES) * (1 if octal else draw(st.integers(1, 20))))
    info.type = draw(st.sampled_from(list(TYPES)[:-1]))
    if info.isreg():  # tarfile reads a slash as we do in the oldest dialect only
        info.name = info.name.rstrip("/")
    limit = 0o7777777 if octal else (1 << 32) - 1
    info.uid, info.gid = draw(st.integers(0, limit)), draw(st.integers(0, limit))
    info.mode = draw(st.integers(0, 0o7777))
    info.mtime = draw(st.integers(0, 8**11 - 1) if octal else st.integers(-(1 << 40), 1 << 40))
    info.uname, info.gname = draw(TEXT.map(lambda t: t[:8])), draw(TEXT.map(lambda t: t[:8]))
    info.linkname = draw(NAMES)
    info.devmajor, info.devminor = draw(st.integers(0, 4095)), draw(st.integers(0, 0o7777777))
    data = draw(st.binary(max_size=1200)) if info.isreg() else b""
    info.size = len(data)
    return info, data


@pytest.mark.parametrize(
    "dialect", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT], ids=["ustar", "gnu", "pax"]
)  # fmt: skip
@given(st.data())
def test_what_tarfile_writes_reads_as_tarfile_reads_it(dialect: int, data: st.DataObject) -> None:
    output = io.BytesIO()
    octal = dialect == tarfile.USTAR_FORMAT
    with tarfile.open(fileobj=output, mode="w", format=dialect, encoding="utf-8") as tar:
        for info, content in data.draw(st.lists(infos(octal), max_size=3)):
            try:
                tar.addfile(info, io.BytesIO(content))
            except ValueError:  # tarfile's own limits in ustar
                assert octal
    assert seen_by_tarkit(output.getvalue()) == seen_by_tarfile(output.getvalue())


@given(st.lists(described(), max_size=3))
def test_tarfile_reads_the_output(members: list[tuple[Member, bytes]]) -> None:
    archive = written(*((in_whole_seconds(member), data) for member, data in members))
    assert seen_by_tarfile(archive) == seen_by_tarkit(archive)


def in_whole_seconds(member: Member) -> Member:
    """Return *member* without values that tarfile reads inexactly: fractions, large pax devices."""
    seconds = member.mtime_ns // 10**9 % 2**40
    return replace(
        member,
        name=member.name.strip(b"/") or b"x",
        mtime_ns=seconds * 10**9,
        devmajor=member.devmajor % 8**7,
        devminor=member.devminor % 8**7,
    )


@given(sparse_members())
def test_tarfile_reads_sparse_members_that_are_written(case: tuple[Member, bytes]) -> None:
    archive = written(case)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        [info] = tar.getmembers()
        content = tar.extractfile(info)
        assert content is not None
        assert info.issparse()
        [(_, whole)] = contents(archive)
        assert content.read() == whole


def gnu_tar() -> str:
    """The tar command; skip if it is not GNU's."""
    for name in ("gtar", "tar"):
        path = shutil.which(name)
        if path is None:
            continue
        version = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
        if "GNU tar" in version.stdout:
            return path
    pytest.skip("GNU tar is not here")


def run_tar(*args: str | Path, stdin: bytes = b"") -> bytes:
    environment = {"PATH": os.environ["PATH"], "TZ": "UTC", "LC_ALL": "C"}
    command = [gnu_tar(), *map(str, args)]
    return subprocess.run(
        command, input=stdin, stdout=subprocess.PIPE, check=True, env=environment
    ).stdout


SPARSE_SIZE = (1 << 20) + 7


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of many types and names, on a system that allows any bytes in names."""
    if sys.platform != "linux":
        pytest.skip("names are bytes on Linux only")
    gnu_tar()
    root = tmp_path_factory.mktemp("tree")
    (root / "empty").touch()
    (root / "file").write_bytes(b"hello\n")
    (root / "dir" / "sub").mkdir(parents=True)
    (root / "dir" / "sub" / ("n" * 90)).write_bytes(b"x" * 513)
    deep = root.joinpath(*["d" * 60] * 4)
    deep.mkdir(parents=True)
    (deep / ("f" * 110)).write_bytes(b"deep")
    (root / "link").symlink_to("dir/sub")
    (root / "long-link").symlink_to("t/" * 100)
    (root / "hard").hardlink_to(root / "file")
    with (root / "sparse").open("wb") as sparse:
        for offset in range(0, 1 << 20, 128 << 10):
            sparse.seek(offset + (64 << 10))
            sparse.write(b"data" * 1024)
        sparse.truncate(SPARSE_SIZE)
    os.mkfifo(root / "fifo")
    (root / "setuid").write_bytes(b"")
    (root / "setuid").chmod(0o4755)
    os.utime(root / "empty", ns=(0, 1_600_000_000_123_456_789))
    with open(bytes(root) + b"/caf\xe9", "wb"):  # noqa: PTH123 - a name that is not UTF-8
        pass
    return root


def what_is_there(root: Path, archive: bytes) -> None:
    """Check every member of *archive* against the file of its name in *root*."""
    reader = TarReader(io.BytesIO(archive))
    inodes: dict[bytes, int] = {}
    names = set()
    for member in reader:
        path = os.path.join(bytes(root), member.name)  # noqa: PTH118 - as above
        status = os.lstat(path)
        names.add(member.name)
        inodes[member.name] = status.st_ino
        assert member.mode == status.st_mode & 0o7777
        if member.type is MemberType.HARDLINK:
            assert inodes[member.linkname] == status.st_ino
        elif member.type is MemberType.SYMLINK:
            assert member.linkname == os.readlink(path)  # noqa: PTH115 - as above
        elif member.type is MemberType.FILE:
            with open(path, "rb") as file:  # noqa: PTH123 - as above
                assert b"".join(logical(member, reader.chunks())) == file.read()
    assert reader.trailer
    assert {b"./file", b"./caf\xe9", b"./sparse"} <= names
    assert len(names) == sum(1 for _ in root.rglob("*")) + 1


@pytest.mark.parametrize("dialect", ["v7", "oldgnu", "gnu", "ustar", "pax"])
def test_what_gnu_tar_writes_is_read(tree: Path, dialect: str) -> None:
    exclude = {
        "v7": ["--exclude=./fifo", "--exclude=long-link", "--exclude=ffff*", "--exclude=d*d"],
        "ustar": ["--exclude=long-link", "--exclude=dddd*"],
    }.get(dialect, [])
    archive = run_tar("-C", tree, f"--format={dialect}", *exclude, "-cf", "-", ".")
    if not exclude:
        what_is_there(tree, archive)
    assert [(seen.name, seen.data) for seen in seen_by_tarkit(archive)] == [
        (seen.name, seen.data) for seen in seen_by_tarfile(archive)
    ]


@pytest.mark.parametrize("options", [
    ["--format=oldgnu"], ["--format=gnu"],
    *(["--format=pax", f"--sparse-version={version}"] for version in ("0.0", "0.1", "1.0")),
], ids=["oldgnu", "gnu", "0.0", "0.1", "1.0"])  # fmt: skip
def test_sparse_files_of_gnu_tar_are_read(tree: Path, options: list[str]) -> None:
    archive = run_tar("-C", tree, "--sparse", "--hole-detection=raw", *options, "-cf", "-", ".")
    what_is_there(tree, archive)
    [sparse] = [m for m in TarReader(io.BytesIO(archive)) if m.name == b"./sparse"]
    assert sparse.size == SPARSE_SIZE
    assert sparse.sparse is not None
    assert len(sparse.sparse) == 8
    assert sparse.stored < 128 << 10


@pytest.mark.skipif(sys.platform != "linux", reason="extended attributes are Linux's here")
def test_extended_attributes_of_gnu_tar_are_read(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    attributes = {b"user.plain": b"value", b"user.a=b%c": b"\0\n=", b"user.empty": b""}
    try:
        for name, value in attributes.items():
            os.setxattr(tmp_path / "file", name, value)
    except OSError:
        pytest.skip("no extended attributes on this filesystem")
    archive = run_tar("-C", tmp_path, "--xattrs", "--format=pax", "-cf", "-", "file")
    [member] = TarReader(io.BytesIO(archive))
    assert member.xattrs == attributes
    target = tmp_path / "out"
    target.mkdir()
    run_tar("-C", target, "--xattrs", "-xf", "-", stdin=written((member, b"")))
    assert {
        os.fsencode(name): os.getxattr(target / "file", name) for name in os.listxattr(target / "file")
    } == attributes  # fmt: skip


def test_times_of_gnu_tar_are_read_to_the_nanosecond(tree: Path) -> None:
    archive = run_tar("-C", tree, "--format=pax", "-cf", "-", "empty")
    [member] = TarReader(io.BytesIO(archive))
    assert member.mtime_ns == (tree / "empty").lstat().st_mtime_ns


def test_global_headers_of_gnu_tar_are_applied(tree: Path) -> None:
    option = "--pax-option=globexthdr.name=g,uid=7,gname=staff"
    archive = run_tar("-C", tree, "--format=pax", option, "-cf", "-", "file")
    [member] = TarReader(io.BytesIO(archive))
    assert (member.uid, member.gname) == (7, b"staff")


def test_gnu_tar_extracts_the_output(tmp_path: Path) -> None:
    hole = Member(b"hole", size=1 << 20, sparse=(Segment(4096, 5), Segment(65_536, 3)))
    deep = b"deep/" * 40 + b"f" * 120
    output = io.BytesIO()
    with TarWriter(output) as writer:
        writer.add(Member(b"dir/", MemberType.DIRECTORY, mode=0o750))
        writer.add(Member(b"dir/file", size=5, mode=0o640, mtime_ns=-1_500_000_000), b"hello")
        writer.add(Member(b"dir/hard", MemberType.HARDLINK, linkname=b"dir/file"))
        writer.add(Member(b"soft", MemberType.SYMLINK, linkname=b"t" * 150))
        writer.add(Member(deep, size=4, mtime_ns=123_456_789), b"deep")
        writer.add(hole, b"hello" + b"end")
        with writer.begin(Member(b"patched")) as pending:
            pending.write(b"later")
    run_tar("-C", tmp_path, "-xpf", "-", stdin=output.getvalue())
    file = tmp_path / "dir" / "file"
    assert file.read_bytes() == b"hello"
    assert file.stat().st_mode & 0o7777 == 0o640
    assert file.stat().st_mtime_ns == -1_500_000_000
    assert file.samefile(tmp_path / "dir" / "hard")
    assert os.fsencode((tmp_path / "soft").readlink()) == b"t" * 150
    assert (tmp_path / os.fsdecode(deep)).stat().st_mtime_ns == 123_456_789
    assert (tmp_path / "patched").read_bytes() == b"later"
    content = bytearray(1 << 20)
    content[4096:4101], content[65_536:65_539] = b"hello", b"end"
    assert (tmp_path / "hole").read_bytes() == content


def test_gnu_tar_lists_a_member_whose_size_was_patched_in_base_256(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    size = 8**11 + 5
    with path.open("w+b") as output:
        with TarWriter(output) as writer, writer.begin(Member(b"big")) as pending:
            output.seek(size, os.SEEK_CUR)
            pending._size = size
            writer._offset += size
        listed = run_tar("-tvf", path)
    assert b" 8589934597 " in listed
    with tarfile.open(path) as tar:
        assert [info.size for info in tar] == [size]


@given(st.lists(described(), max_size=3))
def test_what_is_read_is_written_again_the_same(members: list[tuple[Member, bytes]]) -> None:
    archive = written(*members)
    assert written(*read(archive)) == archive
