"""Vertices that combine trees: merge, difference, requirement and nested build."""

from __future__ import annotations

from collections.abc import Sequence

from tarkit.errors import UsageError
from tarkit.llb import messages
from tarkit.llb.constraints import Constraints
from tarkit.llb.messages import BuildInput, DiffInput, MergeInput
from tarkit.llb.sourcemaps import Caller
from tarkit.llb.vertices import Context, Encoded, Output
from tarkit.values import dataclass

_DEFINITION = "buildkit.llb.definition"


@dataclass(frozen=True, slots=True, eq=False)
class MergeVertex:
    """Trees laid over each other; equal inputs are all listed."""

    trees: tuple[Output, ...]
    constraints: Constraints
    caller: Caller | None

    def inputs(self) -> Sequence[Output]:
        """Return the trees."""
        return self.trees

    def encode(self, context: Context) -> Encoded:
        """Encode the operation."""
        operation = messages.MergeOp(
            inputs=[MergeInput(input=number) for number in range(len(self.trees))]
        )
        return context.finish(
            self.constraints,
            ["mergeop"],
            inputs=[context.input(tree) for tree in self.trees],
            caller=self.caller,
            merge=operation,
        )


@dataclass(frozen=True, slots=True, eq=False)
class DiffVertex:
    """The changes from ``lower`` to ``upper``; None is an empty tree."""

    lower: Output | None
    upper: Output | None
    constraints: Constraints
    caller: Caller | None

    def inputs(self) -> Sequence[Output]:
        """Return both sides, except empty trees."""
        return [side for side in (self.lower, self.upper) if side is not None]

    def encode(self, context: Context) -> Encoded:
        """Encode the operation."""
        upper = -1 if self.upper is None else 0 if self.lower is None else 1
        operation = messages.DiffOp(
            lower=DiffInput(input=-1 if self.lower is None else 0), upper=DiffInput(input=upper)
        )
        return context.finish(
            self.constraints,
            ["diffop"],
            inputs=[context.input(side) for side in self.inputs()],
            caller=self.caller,
            diff=operation,
        )


@dataclass(frozen=True, slots=True, eq=False)
class PassthroughVertex:
    """A tree, available only if others are; ``base`` None stands for an empty tree."""

    id: str
    base: Output | None
    required: tuple[Output, ...]
    constraints: Constraints
    caller: Caller | None

    def inputs(self) -> Sequence[Output]:
        """Return the tree and the required trees."""
        return [*((self.base,) if self.base is not None else ()), *self.required]

    def encode(self, context: Context) -> Encoded:
        """Encode the operation; raise UsageError if it has no name or no tree."""
        if not self.id:
            raise UsageError("a requirement needs a name")
        if self.base is None:
            raise UsageError(f"the requirement {self.id!r} has an empty file system as its base")
        return context.finish(
            self.constraints,
            ["passthroughop"],
            inputs=[context.input(tree) for tree in self.inputs()],
            caller=self.caller,
            passthrough=messages.PassthroughOp(id=self.id, outputs=[0]),
        )


@dataclass(frozen=True, slots=True, eq=False)
class BuildVertex:
    """A build whose definition is the file ``filename`` of a tree."""

    tree: Output | None
    filename: str
    constraints: Constraints
    caller: Caller | None

    def inputs(self) -> Sequence[Output]:
        """Return the tree."""
        return [] if self.tree is None else [self.tree]

    def encode(self, context: Context) -> Encoded:
        """Encode the operation; raise UsageError if the tree is empty."""
        if self.tree is None:
            raise UsageError("an empty file system contains no definition to build")
        operation = messages.BuildOp(
            builder=-1,
            inputs={_DEFINITION: BuildInput(input=0)},
            attrs={"llbbuild.filename": self.filename} if self.filename else {},
        )
        return context.finish(
            self.constraints,
            ["source.buildop.llbfilename"],
            platform=self.constraints.platform or context.platform,
            inputs=[context.input(self.tree)],
            caller=self.caller,
            build=operation,
        )
