"""Archives built block by block, so that each can be wrong in one way."""

from __future__ import annotations

import io

from tarkit.tar.member import Member
from tarkit.tar.reader import TarReader
from tarkit.tar.sparse import logical

END = bytes(1024)
USTAR = b"ustar\x0000"
GNU = b"ustar  \0"
V7 = bytes(8)


def block(
    name: bytes = b"file",
    *,
    flag: bytes = b"0",
    size: int | bytes = 0,
    mode: bytes = b"0000644\0",
    uid: bytes = b"0000000\0",
    gid: bytes = b"0000000\0",
    mtime: bytes = b"00000000000\0",
    linkname: bytes = b"",
    magic: bytes = USTAR,
    tail: bytes = b"",
    checksum: bytes | None = None,
) -> bytes:
    """Return a header block; *tail* follows the magic, *checksum* replaces the correct one."""
    size_field = b"%011o\0" % size if isinstance(size, int) else size
    head = name.ljust(100, b"\0") + mode + uid + gid + size_field + mtime
    rest = (flag + linkname.ljust(100, b"\0") + magic + tail).ljust(356, b"\0")
    assert (len(head), len(rest)) == (148, 356)
    total = sum(head) + 8 * 32 + sum(rest)
    return head + (b"%06o\0 " % total if checksum is None else checksum) + rest


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def file(name: bytes, data: bytes = b"", **fields: bytes) -> bytes:
    return block(name, size=len(data), **fields) + padded(data)


def extension(flag: bytes, content: bytes) -> bytes:
    """Return a pax header (``x``, ``g``) or a GNU long name (``L``, ``K``)."""
    return block(b"extension", flag=flag, size=len(content)) + padded(content)


def pax(*records: tuple[bytes, bytes], flag: bytes = b"x") -> bytes:
    return extension(flag, b"".join(record(key, value) for key, value in records))


def record(key: bytes, value: bytes) -> bytes:
    body = b" %s=%s\n" % (key, value)
    size = next(n for n in range(len(body), len(body) + 9) if n == len(body) + len(str(n)))
    return b"%d%s" % (size, body)


def members(*parts: bytes) -> list[Member]:
    """Return the members that the streaming reader finds in *parts* and a trailer."""
    return list(TarReader(io.BytesIO(b"".join(parts) + END)))


def contents(archive: bytes) -> list[tuple[Member, bytes]]:
    """Return the members of *archive* with their logical content."""
    reader = TarReader(io.BytesIO(archive))
    return [(member, b"".join(logical(member, reader.chunks()))) for member in reader]


def only(*parts: bytes) -> Member:
    """Return the only member."""
    [member] = members(*parts)
    return member
