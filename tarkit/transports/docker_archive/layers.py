"""Find and describe the layers of a classic docker archive: member, diff ID and compression."""

from __future__ import annotations

from collections.abc import Sequence

from tarkit.errors import MemberNotFoundError, SharedLayerError
from tarkit.image import media_types
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.media_types import Compression
from tarkit.patterns import lazy_pattern
from tarkit.streams.codecs import decompress
from tarkit.streams.verify import VerifyingReader
from tarkit.tar.archive import Archive
from tarkit.tar.member import Member
from tarkit.transports.docker_archive.items import ManifestItem

_NAMED_BY_DIGEST = lazy_pattern(r"(?:.*/)?([0-9a-f]{64})\.tar\.gz")


def layer_members(
    archive: Archive, item: ManifestItem, diff_ids: Sequence[Digest]
) -> dict[Digest, tuple[str, Member]]:
    """Return the member and the path in *item* of each of *diff_ids*.

    A layer may be listed several times; at least one of its paths must exist. Raises
    :class:`SharedLayerError` if a path has two diff IDs, and :class:`MemberNotFoundError` if no
    path of a layer exists.
    """
    owners: dict[str | int, Digest] = {}
    members: dict[Digest, tuple[str, Member]] = {}
    for path, diff_id in zip(item.layers, diff_ids, strict=True):
        member = archive.find(path)
        # Two paths may be links to the same member, which its offset identifies.
        owner = owners.setdefault(path if member is None else member.offset, diff_id)
        if owner != diff_id:
            raise SharedLayerError(
                f"layer {path!r} is listed for two diff IDs, {owner} and {diff_id}",
                where=archive.where,
            )
        if member is not None:
            members.setdefault(diff_id, (path, member))
    for path, diff_id in zip(item.layers, diff_ids, strict=True):
        if diff_id not in members:
            raise MemberNotFoundError(f"layer {path!r} is missing", where=archive.where)
    return members


def describe_layer(
    archive: Archive, path: str, member: Member, diff_id: Digest, source: Descriptor | None
) -> Descriptor:
    """Return the descriptor of the layer in *member*.

    The digest of an uncompressed layer is its diff ID. The digest of a compressed layer is taken
    from *source*, its entry in ``LayerSources``, or from its path if crane named it by digest; the
    copy verifies both. Otherwise, the layer is read once, which also verifies the diff ID.
    """
    compression = archive.compression_of(member)
    if compression is Compression.NONE:
        return Descriptor(media_types.DOCKER_LAYER, diff_id, member.size)
    media_type = _media_type(compression)
    if source is not None and source.size == member.size and source.digest != diff_id:
        return Descriptor(media_type, source.digest, source.size)
    # If the path is the diff ID, it says nothing about the compressed bytes.
    claim = _NAMED_BY_DIGEST.fullmatch(path)
    named = Digest("sha256", claim[1]) if claim else diff_id
    if named != diff_id and compression is Compression.GZIP:
        return Descriptor(media_type, named, member.size)
    where = f"{archive.where}: layer {path}"
    # Hash compressed and uncompressed bytes in one pass; packed.verify() reads trailing bytes.
    packed = VerifyingReader(archive.open_member(member), where=where)
    with VerifyingReader(
        decompress(packed, compression, where=where), digest=diff_id, where=where
    ) as plain:
        plain.verify()
        packed.verify()
    return Descriptor(media_type, packed.digest, packed.size)


def _media_type(compression: Compression) -> str:
    """Return Docker's layer type for *compression*, or the type of plain layers for bzip2 and xz.

    The engine detects the compression from the bytes and recompresses such layers.
    """
    if compression is Compression.ZSTD:
        return media_types.DOCKER_LAYER_ZSTD
    kind = media_types.layer_type(media_types.DOCKER_LAYER, media_types.Family.DOCKER, compression)
    return kind or media_types.DOCKER_LAYER
