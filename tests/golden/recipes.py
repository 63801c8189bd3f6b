"""Make states by recorded recipes, which are lists of nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tarkit import llb
from tarkit.image.platform import Platform
from tarkit.llb.actions import BoundActions
from tarkit.llb.git import split_fragment
from tarkit.llb.messages import CacheSharing, MountContentCache, Position, Range
from tarkit.llb.mounts import Mount

Node = dict[str, Any]


class Recipes:
    """The nodes of one case: states, processes and source maps by identifier."""

    def __init__(self, marshal: dict[str, Any] | None = None) -> None:
        self.marshal_options = marshal or {}
        self.made: dict[str, Any] = {"scratch": llb.scratch()}

    def make(self, nodes: list[Node]) -> None:
        """Make *nodes* in their order."""
        for node in nodes:
            make: Callable[..., Any] = getattr(self, f"_{node['kind']}")
            options = self.constraints(node.get("constraints", {}))
            self.made[node["id"]] = make(node, **options)

    def marshal(self, identifier: str) -> llb.Definition:
        """Return the definition of a node, for the marshal options of the case."""
        state: llb.State = self.made[identifier]
        return state.marshal(record_lines=False, **self._marshal_options())

    def _marshal_options(self) -> dict[str, Any]:
        options = self.constraints(self.marshal_options)
        match self.marshal_options.get("server_caps"):
            case "all":
                options["capabilities"] = Everything()
            case "all-but-setsdefaultpath":
                options["capabilities"] = Everything({"exec.meta.setsdefaultpath"})
        return options

    def constraints(self, recorded: dict[str, Any]) -> dict[str, Any]:
        """Return recorded constraints as keywords."""
        options: dict[str, Any] = {}
        for name in ("ignore_cache", "description", "custom_name", "export_cache", "require",
                     "local_unique_id"):  # fmt: skip
            if name in recorded:
                options[name] = recorded[name]
        if "platform" in recorded:
            options["platform"] = platform_of(recorded["platform"])
        if "progress_group" in recorded:
            options["progress_group"] = llb.ProgressGroup(**recorded["progress_group"])
        if "linux_resources" in recorded:
            options["resources"] = llb.LinuxResources(**recorded["linux_resources"])
        if "source_locations" in recorded:
            options["locations"] = [self._location(each) for each in recorded["source_locations"]]
        return options

    def _location(self, recorded: dict[str, Any]) -> llb.SourceLocation:
        ranges = [
            Range(start=Position(line=a, character=b), end=Position(line=c, character=d))
            for a, b, c, d in recorded["ranges"]
        ]
        location: llb.SourceLocation = self.made[recorded["map"]].location(*ranges)
        return location

    def _scratch(self, node: Node, **options: Any) -> llb.State:
        return llb.scratch()

    def _image(self, node: Node, **options: Any) -> llb.State:
        return llb.image(
            node["ref"],
            **given(node, "resolve_mode", "internal", "layer_limit", "checksum"),
            **options,
        )

    def _image_blob(self, node: Node, **options: Any) -> llb.State:
        return llb.image_blob(node["ref"], **file_options(node), **options)

    def _oci_layout(self, node: Node, **options: Any) -> llb.State:
        return llb.oci_layout(
            node["ref"], **given(node, "session_id", "store", "layer_limit"), **options
        )

    def _oci_layout_blob(self, node: Node, **options: Any) -> llb.State:
        served = given(node, "session_id", "store")
        return llb.oci_layout_blob(node["ref"], **served, **file_options(node), **options)

    def _local(self, node: Node, **options: Any) -> llb.State:
        differ = node.get("differ") or {}
        excepted = node.get("metadata_only")
        return llb.local(
            node["name"],
            **given(node, "session_id", "include", "exclude", "follow", "shared_key_hint"),
            differ=differ.get("type", ""),
            require_differ=differ.get("required", False),
            metadata_only=excepted is not None and excepted is not False,
            except_metadata_only=excepted if isinstance(excepted, list) else (),
            **options,
        )

    def _http(self, node: Node, **options: Any) -> llb.State:
        # the recorder knew only this name
        headers = None if node.get("header") is None else given(node["header"], "accept")
        return llb.http(
            node["url"],
            **given(node, "checksum", "auth_header_secret"),
            **file_options(node),
            headers=headers,
            **options,
        )

    def _git(self, node: Node, **options: Any) -> llb.State:
        ref, subdir = split_fragment(node.get("fragment", ""))
        return llb.git(
            node["url"],
            node.get("ref") or ref,
            subdir=node.get("subdir") or subdir,
            **given(
                node, "keep_git_dir", "checksum", "skip_submodules", "mtime", "auth_token_secret",
                "auth_header_secret", "known_ssh_hosts", "mount_ssh_sock",
            ),
            **options,
        )  # fmt: skip

    def _set(self, node: Node, **options: Any) -> llb.State:
        state: llb.State = self.made[node["base"]]
        for name, *arguments in node["steps"]:
            if name in {"network", "security"}:
                arguments = [mode_of(arguments[0])]
            if name == "platform" and isinstance(arguments[0], dict):
                arguments = [platform_of(arguments[0])]
            if name == "args" and not isinstance(arguments[0], list):
                arguments = [arguments]
            if name == "valid_exit_codes" and isinstance(arguments[0], list):
                arguments = arguments[0]
            state = getattr(state, name)(*arguments)
        return state

    def _run(self, node: Node, **options: Any) -> llb.ExecState:
        values = given(
            node, "readonly_root", "valid_exit_codes", "user", "dir", "hostname", "cgroup_parent"
        )
        for name in ("network", "security"):
            if name in node:
                values[name] = mode_of(node[name])
        if "env" in node:
            values["env"] = dict(node["env"])
        if "extra_hosts" in node:
            values["extra_hosts"] = dict(map(row_of, node["extra_hosts"]))
        if "ulimits" in node:
            limits = map(row_of, node["ulimits"])
            values["ulimits"] = {name: (int(soft), int(hard)) for name, soft, hard in limits}
        if "proxy" in node:
            values["proxy"] = llb.ProxyEnv(
                **{f"{name}_proxy": value for name, value in node["proxy"].items()}
            )
        mounts = [self._mount(mount) for mount in node.get("mounts", ())]
        secrets = [secret_of(secret) for secret in node.get("secrets", ())]
        agents = [ssh_of(agent) for agent in node.get("ssh", ())]
        state: llb.State = self.made[node["base"]]
        return state.run(
            node.get("shlex") or node.get("args", ()),
            mounts=[*mounts, *secrets, *agents],
            devices=[llb.CDIDevice(**device) for device in node.get("cdi_devices", ())],
            **values,
            **options,
        )

    def _mount(self, recorded: dict[str, Any]) -> Mount:
        cache, memory = recorded.get("cache"), recorded.get("tmpfs")
        content = recorded.get("content_cache", "default").upper()
        return Mount(
            recorded["dest"],
            self.made[recorded.get("source", "scratch")],
            selector=recorded.get("selector", ""),
            readonly=recorded.get("readonly", False),
            no_output=recorded.get("no_output", False),
            cache_id=cache["id"] if cache else "",
            sharing=CacheSharing[(cache or {}).get("sharing", "shared").upper()],
            tmpfs_size=None if memory is None else int(memory.get("size", 0)),
            content_cache=MountContentCache[content],
        )

    def _mount_output(self, node: Node, **options: Any) -> llb.State:
        state: llb.State = self.made[node["run"]].mount(node["dest"])
        return state

    def _file(self, node: Node, **options: Any) -> llb.State:
        state: llb.State = self.made[node["base"]]
        return state.file(self._actions(node["actions"]), **options)

    def _actions(self, recorded: list[dict[str, Any]]) -> llb.FileActions:
        chain = llb.FileActions()
        for action in recorded:
            chain = getattr(self, f"_add_{action['action']}")(chain, action)
        return chain

    def _add_mkfile(self, chain: llb.FileActions, action: dict[str, Any]) -> llb.FileActions:
        data = bytes.fromhex(action["data_hex"]) if "data_hex" in action else action.get("data", "")
        return chain.mkfile(action["path"], data, **common(action))

    def _add_mkdir(self, chain: llb.FileActions, action: dict[str, Any]) -> llb.FileActions:
        return chain.mkdir(action["path"], parents=action.get("parents", False), **common(action))

    def _add_symlink(self, chain: llb.FileActions, action: dict[str, Any]) -> llb.FileActions:
        return chain.symlink(action["oldpath"], action["newpath"], **common(action))

    def _add_rm(self, chain: llb.FileActions, action: dict[str, Any]) -> llb.FileActions:
        return chain.rm(action["path"], **given(action, "allow_not_found", "allow_wildcard"))

    def _add_copy(self, chain: llb.FileActions, action: dict[str, Any]) -> llb.FileActions:
        origin = action["from"]
        source: llb.State | BoundActions
        if isinstance(origin, dict):
            source = self._actions(origin["actions"]).on(self.made[origin["on"]])
        else:
            source = self.made[origin]
        options = common(action)
        if "mode_string" in action:
            options["mode"] = action["mode_string"]
        names = {
            "include": "include", "exclude": "exclude", "required_paths": "required_paths",
            "follow_symlinks": "follow_symlinks", "dir_contents_only": "contents_only",
            "attempt_unpack": "unpack", "create_dest_path": "create_dest_path",
            "allow_wildcard": "allow_wildcard", "allow_empty_wildcard": "allow_empty_wildcard",
            "always_replace_existing_dest_paths": "always_replace",
        }  # fmt: skip
        options |= {names[name]: value for name, value in action.items() if name in names}
        return chain.copy(source, action["src"], action["dest"], **options)

    def _merge(self, node: Node, **options: Any) -> llb.State:
        return llb.merge([self.made[each] for each in node["inputs"]], **options)

    def _diff(self, node: Node, **options: Any) -> llb.State:
        return llb.diff(self.made[node["lower"]], self.made[node["upper"]], **options)

    def _build(self, node: Node, **options: Any) -> llb.State:
        state: llb.State = self.made[node["source"]]
        return state.build(node.get("filename", ""), **options)

    def _requires(self, node: Node, **options: Any) -> llb.State:
        state: llb.State = self.made[node["base"]]
        required = [self.made[each] for each in node["deps"]]
        return state.requires(node["requires_id"], *required, **options)

    def _from_definition_of(self, node: Node, **options: Any) -> llb.State:
        encoded = self.marshal(node["node"]).encode()
        return llb.State.from_definition(llb.Definition.decode(encoded))

    def _source_map(self, node: Node, **options: Any) -> llb.SourceMap:
        state = self.made[node["state"]] if "state" in node else None
        data = node.get("data", "").encode()
        return llb.SourceMap(node.get("filename", ""), data, node.get("language", ""), state)


class Everything:
    """A daemon's capabilities: all except some."""

    def __init__(self, missing: set[str] | None = None) -> None:
        self._missing = missing or set()

    def __contains__(self, capability: object) -> bool:
        return capability not in self._missing


def platform_of(recorded: dict[str, Any]) -> Platform:
    """Return a recorded platform, whose names are not those of image specifications."""
    features = tuple(recorded.get("os_features", ()))
    return Platform(
        recorded["os"],
        recorded["architecture"],
        recorded.get("variant", ""),
        recorded.get("os_version", ""),
        features,
    )


def given(recorded: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return the values of *names* that are recorded."""
    return {name: recorded[name] for name in names if name in recorded}


def common(action: dict[str, Any]) -> dict[str, Any]:
    """Return mode, owner and time of a recorded action."""
    options: dict[str, Any] = {}
    if "mode" in action:
        options["mode"] = int(action["mode"], 8)
    if "created_ns" in action:
        options["created"] = int(action["created_ns"])
    owner = action.get("owner")
    if owner:
        named = owner.get("user_string")
        options["owner"] = (owner["uid"], owner["gid"]) if named is None else named
    return options


def file_options(node: Node) -> dict[str, Any]:
    """Return the attributes of a source that is one file."""
    options = given(node, "filename", "uid", "gid")
    if "chmod" in node:
        options["mode"] = int(node["chmod"], 8)
    return options


def row_of(recorded: Any) -> Any:
    """Return the values of a recorded list or object."""
    return tuple(recorded.values()) if isinstance(recorded, dict) else tuple(recorded)


def mode_of(name: str) -> str:
    """Return a mode of network or security by its name in BuildKit."""
    return {"UNSET": "sandbox"}.get(name.upper(), name.lower())


def secret_of(recorded: dict[str, Any]) -> llb.Secret:
    """Return a recorded secret."""
    dest, env = recorded.get("dest"), recorded.get("env_name")
    identifier = recorded.get("id") or dest or ""
    if recorded.get("as_env"):
        dest, env = None, env or dest
    options = given(recorded, "uid", "gid", "optional")
    if "mode" in recorded:
        options["mode"] = int(recorded["mode"], 8)
    return llb.secret(dest, id=identifier, env=env, **options)


def ssh_of(recorded: dict[str, Any]) -> llb.SSH:
    """Return a recorded SSH agent."""
    options = given(recorded, "uid", "gid", "optional")
    if "mode" in recorded:
        options["mode"] = int(recorded["mode"], 8)
    dest = recorded.get("target", recorded.get("dest", ""))
    return llb.ssh(recorded.get("id", ""), dest, **options)
