"""A plain model of refs: dictionaries, and the rules of the ledger in a few lines."""

from __future__ import annotations

from dataclasses import dataclass, field

Layer = dict[str, str | None]
"""The files that a layer writes; None removes one."""


@dataclass
class ModelRef:
    """What is expected of one record."""

    parents: list[str]
    layers: list[Layer]
    mutable: bool = False
    retain: bool = False
    staged: dict[str, str] = field(default_factory=dict)
    partner: str | None = None
    holds: int = 0

    @property
    def content(self) -> dict[str, str]:
        """The files."""
        if self.mutable:
            return self.staged
        return apply(self.layers)


def apply(layers: list[Layer]) -> dict[str, str]:
    """Return the files that *layers* give."""
    files: dict[str, str] = {}
    for layer in layers:
        for path, text in layer.items():
            if text is None:
                files.pop(path, None)
            else:
                files[path] = text
    return files


def difference(old: dict[str, str], new: dict[str, str]) -> Layer:
    """Return the layer that turns *old* into *new*."""
    changed: Layer = {path: text for path, text in new.items() if old.get(path) != text}
    return {**changed, **{path: None for path in old if path not in new}}


class Model:
    """All refs by their IDs."""

    def __init__(self) -> None:
        self.refs: dict[str, ModelRef] = {}
        self.merges: set[str] = set()

    def add_layer_ref(self, ref_id: str, parent: str | None, *, retain: bool) -> None:
        """Add a mutable ref in use."""
        if parent is not None:
            self.finalize(parent)
        base = self.refs[parent].layers if parent is not None else []
        self.refs[ref_id] = ModelRef(
            [parent] if parent is not None else [], base, True, retain, apply(base), holds=1
        )

    def commit(self, mutable_id: str, ref_id: str, holds: int) -> None:
        """Add the partner of a mutable ref, which stays in use."""
        mutable = self.refs[mutable_id]
        layer = difference(apply(mutable.layers), mutable.staged)
        self.refs[ref_id] = ModelRef(mutable.parents, [*mutable.layers, layer], holds=holds)
        self.refs[ref_id].partner = mutable_id
        mutable.partner = ref_id

    def finalize(self, ref_id: str) -> None:
        """Remove the partner of an immutable ref."""
        ref = self.refs[ref_id]
        if ref.partner is not None:
            del self.refs[ref.partner]
            ref.partner = None

    def merge(self, ref_id: str, parts: list[str]) -> None:
        """Add a merge of several refs."""
        parents: list[str] = []
        for part in parts:
            self.finalize(part)
            ref = self.refs[part]
            parents += ref.parents if self.is_merge(part) else [part]
        layers = [layer for part in parts for layer in self.refs[part].layers]
        self.refs[ref_id] = ModelRef(parents, layers, holds=1)
        self.merges.add(ref_id)

    def is_merge(self, ref_id: str) -> bool:
        """Return whether the ref is a merge."""
        return ref_id in self.merges

    def diff(self, ref_id: str, lower: str, upper: str) -> None:
        """Add a difference of two refs of which neither lies on the other."""
        self.finalize(lower)
        self.finalize(upper)
        layer = difference(self.refs[lower].content, self.refs[upper].content)
        self.refs[ref_id] = ModelRef([lower, upper], [layer], holds=1)

    def release(self, ref_id: str) -> None:
        """End one use."""
        ref = self.refs.get(ref_id)
        if ref is not None:
            ref.holds -= 1
            if ref.holds == 0:
                self._unused(ref_id)

    def children(self, ref_id: str) -> list[str]:
        """Return the refs that stand on one."""
        return [key for key, ref in self.refs.items() if ref_id in ref.parents]

    def _unused(self, ref_id: str) -> None:
        ref = self.refs[ref_id]
        if ref.holds or self.children(ref_id):
            return
        mutable_id = ref_id if ref.mutable else ref.partner
        if mutable_id is None:
            return
        mutable = self.refs[mutable_id]
        if mutable.partner is not None and self.refs[mutable.partner].holds:
            return
        mutable.holds = 0
        if not mutable.retain:
            if mutable.partner is not None:
                self.remove(mutable.partner)
            self.remove(mutable_id)

    def remove(self, ref_id: str) -> None:
        """Remove a ref; its parents may follow."""
        ref = self.refs.pop(ref_id)
        for parent in dict.fromkeys(ref.parents):
            if parent in self.refs:
                self._unused(parent)

    def prune(self) -> None:
        """Remove all refs that nothing uses."""
        while True:
            free = [
                key
                for key, ref in self.refs.items()
                if not self._uses(key) and not (ref.partner and self._uses(ref.partner))
            ]
            if not free:
                return
            for key in free:
                del self.refs[key]

    def _uses(self, ref_id: str) -> int:
        return self.refs[ref_id].holds + len(self.children(ref_id))
