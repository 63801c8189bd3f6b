"""States to start from: images, local directories, files and repositories."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tarkit.errors import UsageError
from tarkit.image.reference import Reference
from tarkit.llb.constraints import ConstraintOptions, to_constraints
from tarkit.llb.git import parse_remote, split_fragment
from tarkit.llb.sources import LocalVertex, LocatedVertex, source
from tarkit.llb.state import State

if TYPE_CHECKING:
    from typing import Unpack

_RESOLVE_MODES = {"default": None, "pull": "pull", "local": "local"}


def scratch() -> State:
    """Return an empty file system."""
    return State()


def image(
    reference: str,
    *,
    resolve_mode: str = "default",
    internal: bool = False,
    layer_limit: int | None = None,
    checksum: str = "",
    **constraints: Unpack[ConstraintOptions],
) -> State:
    """Return an image in a registry, such as ``busybox`` or ``registry.example/app:1``.

    *resolve_mode* is "default", "pull" (ask the registry) or "local" (prefer existing images).
    *internal* hides the image in usage statistics; *layer_limit* is the number of its layers in
    use; *checksum* is the digest that it must have. Raises :class:`UsageError` for malformed names.
    """
    if resolve_mode not in _RESOLVE_MODES:
        raise UsageError(f"{resolve_mode!r} is not a resolve mode: default, pull or local")
    limit = None if layer_limit is None else str(layer_limit)
    attrs = {
        "image.resolvemode": _RESOLVE_MODES[resolve_mode],
        "image.recordtype": "internal" if internal else None,
        "image.layerlimit": limit,
        "image.checksum": checksum,
    }
    caps = _caps(
        {
            "source.image": True,
            "source.image.resolvemode": resolve_mode == "pull",
            "source.image.layerlimit": limit,
            "source.image.checksum": checksum,
        }
    )
    name = Reference.parse(reference).tagged()
    return State.of(source(f"docker-image://{name}", attrs, caps, to_constraints(constraints)))


def local(
    name: str,
    *,
    session_id: str = "",
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    follow: Sequence[str] = (),
    shared_key_hint: str = "",
    differ: str = "",
    require_differ: bool = False,
    metadata_only: bool = False,
    except_metadata_only: Sequence[str] = (),
    **constraints: Unpack[ConstraintOptions],
) -> State:
    """Return the directory that the client calls *name*.

    *include* and *exclude* are patterns as in .dockerignore; *follow* are paths whose links are
    followed. Directories with the same *shared_key_hint* share what was sent before. *differ* is
    "none" or "metadata". *metadata_only* sends no content of files, except for the patterns in
    *except_metadata_only*.
    """
    transfer = metadata_only or bool(except_metadata_only)
    attrs = {
        "local.session": session_id,
        "local.includepattern": _patterns(include),
        "local.excludepatterns": _patterns(exclude),
        "local.followpaths": _patterns(follow),
        "local.sharedkeyhint": shared_key_hint,
        "local.differ": differ,
        "local.metadatatransfer": "true" if transfer else None,
        "local.metadatatransferexclude": _patterns(except_metadata_only),
    }
    caps = _caps(
        {
            "source.local": True,
            "source.local.sessionid": session_id,
            "source.local.includepatterns": include,
            "source.local.excludepatterns": exclude,
            "source.local.followpaths": follow,
            "source.local.sharedkeyhint": shared_key_hint,
            "source.local.differ": differ and require_differ,
            "source.local.metadatatransfer": transfer,
        }
    )
    own = to_constraints(constraints)
    return State.of(source(f"local://{name}", attrs, caps, own, kind=LocalVertex))


def oci_layout(
    reference: str,
    *,
    session_id: str = "",
    store: str = "",
    layer_limit: int | None = None,
    **constraints: Unpack[ConstraintOptions],
) -> State:
    """Return an image in an OCI layout that a client serves: ``NAME@DIGEST``.

    *store* is the client's name for the layout, the name in *reference* by default.
    """
    attrs = {
        "oci.session": session_id,
        "oci.store": store,
        "oci.layerlimit": None if layer_limit is None else str(layer_limit),
    }
    own = to_constraints(constraints)
    return State.of(source(f"oci-layout://{reference}", attrs, ["source.ocilayout"], own))


def location(
    location: str, *, layer_limit: int | None = None, **constraints: Unpack[ConstraintOptions]
) -> State:
    """Return the image at *location*, such as ``oci:layout:latest``, in any transport of tarkit.

    The client that solves the state reads the image from its place and serves it to the build as
    an OCI layout; nothing is unpacked or copied before.
    """
    attrs = {"oci.layerlimit": None if layer_limit is None else str(layer_limit)}
    own = to_constraints(constraints)
    output = source(str(location), attrs, ["source.ocilayout"], own, kind=LocatedVertex)
    return State.of(output)


def docker_archive(path: str, name: str = "", **constraints: Unpack[ConstraintOptions]) -> State:
    """Return the image *name* in the ``docker save`` archive *path*; see :func:`location`."""
    return location(f"docker-archive:{path}" + (f":{name}" if name else ""), **constraints)


def http(
    url: str,
    *,
    checksum: str = "",
    filename: str = "",
    mode: int = 0,
    uid: int = 0,
    gid: int = 0,
    auth_header_secret: str = "",
    headers: Mapping[str, str] | None = None,
    **constraints: Unpack[ConstraintOptions],
) -> State:
    """Return a file from the web, below *filename* or else the last part of *url*.

    *checksum* is the digest that it must have. *auth_header_secret* is the name of a secret with
    the header ``Authorization``. Of further *headers*, daemons send ``accept`` and ``user-agent``.
    """
    attrs = {
        **_file_attrs(filename, mode, uid, gid),
        "http.checksum": checksum,
        "http.authheadersecret": auth_header_secret,
        **{f"http.header.{name.lower()}": value for name, value in (headers or {}).items()},
    }
    caps = _caps(
        {
            "source.http": True,
            "source.http.checksum": checksum,
            "source.http.perm": mode & 0o777,
            "soruce.http.uidgid": uid or gid,  # the daemon's spelling
            "source.http.auth": auth_header_secret,
            "source.http.header": headers is not None,
        }
    )
    return State.of(source(url, attrs, caps, to_constraints(constraints)))


def git(
    url: str,
    ref: str = "",
    *,
    subdir: str = "",
    keep_git_dir: bool = False,
    checksum: str = "",
    skip_submodules: bool = False,
    mtime: str = "",
    auth_token_secret: str | None = None,
    auth_header_secret: str | None = None,
    known_ssh_hosts: str | Sequence[str] = (),
    mount_ssh_sock: str = "",
    **constraints: Unpack[ConstraintOptions],
) -> State:
    """Return the files of a git repository at *ref*: a branch, tag or commit.

    ``https://`` is assumed if *url* has no scheme; ``URL#REF:SUBDIR`` is understood, too.
    *checksum* is the commit that *ref* must be. *mtime* is "checkout" or "commit". The secrets are
    names, GIT_AUTH_TOKEN and GIT_AUTH_HEADER by default. For ssh, *known_ssh_hosts* are lines of a
    known_hosts file, and *mount_ssh_sock* is the agent, "default" by default.
    """
    remote = parse_remote(url)
    url_ref, url_subdir = split_fragment(remote.fragment)
    ref, subdir = ref or url_ref, subdir or url_subdir
    suffix = f"#{ref}" if ref or subdir else ""
    suffix += f":{subdir}" if subdir else ""
    header = "GIT_AUTH_HEADER" if auth_header_secret is None else auth_header_secret
    token = "GIT_AUTH_TOKEN" if auth_token_secret is None else auth_token_secret
    hosts = [known_ssh_hosts] if isinstance(known_ssh_hosts, str) else known_ssh_hosts
    attrs = {
        "git.fullurl": remote.url,
        "git.keepgitdir": "true" if keep_git_dir else None,
        "git.authheadersecret": header,
        "git.authtokensecret": token,
        "git.checksum": checksum,
        "git.skipsubmodules": "true" if skip_submodules else None,
        "git.mtime": mtime,
    }
    if remote.is_ssh:
        attrs["git.knownsshhosts"] = "".join(f"{line.removesuffix(chr(10))}\n" for line in hosts)
        attrs["git.mountsshsock"] = mount_ssh_sock or "default"
    changed = bool(auth_header_secret) or bool(auth_token_secret)
    caps = _caps(
        {
            "source.git": True,
            "source.git.fullurl": remote.url,
            "source.git.httpauth": changed,
            "source.git.keepgitdir": keep_git_dir,
            "source.git.checksum": checksum,
            "source.git.skipsubmodules": skip_submodules,
            "source.git.mtime": mtime,
            "source.git.knownsshhosts": remote.is_ssh,
            "source.git.mountsshsock": remote.is_ssh,
        }
    )
    return State.of(
        source(f"git://{remote.name}{suffix}", attrs, caps, to_constraints(constraints))
    )


def image_blob(
    reference: str,
    *,
    filename: str = "",
    mode: int = 0,
    uid: int = 0,
    gid: int = 0,
    **constraints: Unpack[ConstraintOptions],
) -> State:
    """Return one blob of a repository as a file: ``NAME@DIGEST``, without a tag."""
    name = _blob(reference)
    attrs = _file_attrs(filename, mode, uid, gid)
    own = to_constraints(constraints)
    return State.of(source(f"docker-image+blob://{name}", attrs, ["source.imageblob"], own))


def oci_layout_blob(
    reference: str,
    *,
    session_id: str = "",
    store: str = "",
    filename: str = "",
    mode: int = 0,
    uid: int = 0,
    gid: int = 0,
    **constraints: Unpack[ConstraintOptions],
) -> State:
    """Return one blob of an OCI layout that a client serves as a file: ``NAME@DIGEST``."""
    name = _blob(reference)
    served = {"oci.session": session_id, "oci.store": store}
    attrs = {**_file_attrs(filename, mode, uid, gid), **served}
    own = to_constraints(constraints)
    return State.of(source(f"oci-layout+blob://{name}", attrs, ["source.imageblob"], own))


def _blob(text: str) -> Reference:
    reference = Reference.parse(text)
    if reference.tag or reference.digest is None:
        raise UsageError(f"the name of a blob has a digest and no tag, unlike {text[:160]!r}")
    return reference


def _file_attrs(filename: str, mode: int, uid: int, gid: int) -> dict[str, str | None]:
    permissions = mode & 0o777
    return {
        "http.filename": filename,
        "http.perm": f"0{permissions:o}" if permissions else None,
        "http.uid": str(uid) if uid else None,
        "http.gid": str(gid) if gid else None,
    }


def _caps(needed: dict[str, object]) -> list[str]:
    return [cap for cap, condition in needed.items() if condition]


def _patterns(patterns: Sequence[str]) -> str | None:
    """Return *patterns* as a JSON array as Go writes it, None if there are none."""
    if not patterns:
        return None
    text = json.dumps(list(patterns), ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
