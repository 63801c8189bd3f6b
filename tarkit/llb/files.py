"""The vertex of a chain of file actions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tarkit.errors import UsageError
from tarkit.llb.actions import BoundActions, Copy
from tarkit.llb.constraints import Constraints
from tarkit.llb.messages import FileAction, FileOp
from tarkit.llb.sourcemaps import Caller
from tarkit.llb.vertices import Context, Encoded, Inputs, Output
from tarkit.values import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class FileVertex:
    """A chain of actions on a tree."""

    bound: BoundActions
    constraints: Constraints
    caller: Caller | None

    def inputs(self) -> Sequence[Output]:
        """Return base and copied trees, from the last action to the first, as BuildKit does."""
        return list(dict.fromkeys(_outputs(self.bound)))

    def encode(self, context: Context) -> Encoded:
        """Encode the operation; raise UsageError if it has no actions."""
        if not self.bound.actions:
            raise UsageError("a file operation needs at least one action")
        plan = _Plan(Inputs(context))
        plan.add(self.bound)
        return context.finish(
            self.constraints,
            ["file.base"],
            inputs=plan.inputs.messages,
            caller=self.caller,
            file=FileOp(actions=plan.actions()),
        )


def _outputs(bound: BoundActions) -> Iterator[Output]:
    for action in reversed(bound.actions):
        if bound.tree.output is not None:
            yield bound.tree.output
        if not isinstance(action, Copy):
            continue
        if isinstance(action.source, BoundActions):
            yield from _outputs(action.source)
        elif action.source.output is not None:
            yield action.source.output


@dataclass(slots=True)
class _Step:
    """An action before the number of inputs is known.

    ``first`` and ``second`` are inputs; ``before`` and ``copied`` are positions of earlier actions.
    """

    bound: BoundActions
    position: int
    base: int
    first: int = -1
    before: int | None = None
    second: int = -1
    copied: int | None = None


class _Plan:
    """The actions of a vertex in order, those that are copied from included."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs
        self._steps: list[_Step] = []
        self._last: dict[BoundActions, int] = {}

    def add(self, bound: BoundActions) -> int:
        """Add the actions of *bound* once; return the position of the last."""
        if bound in self._last:
            return self._last[bound]
        before = None
        for position, action in enumerate(bound.actions):
            base = self.inputs.add(bound.tree.output)
            second, copied = self._source(action) if isinstance(action, Copy) else (-1, None)
            first = base if before is None else -1
            step = _Step(bound, position, base, first, before, second, copied)
            before = len(self._steps)
            self._steps.append(step)
        if before is None:
            raise UsageError("the source of a copy has no actions")
        self._last[bound] = before
        return before

    def _source(self, action: Copy) -> tuple[int, int | None]:
        if isinstance(action.source, BoundActions):
            return -1, self.add(action.source)
        return self.inputs.add(action.source.output), None

    def actions(self) -> list[FileAction]:
        """Return the messages; earlier actions are numbered behind the inputs."""
        count = len(self.inputs.messages)
        last = len(self._steps) - 1
        found = []
        for number, step in enumerate(self._steps):
            action = step.bound.actions[step.position]
            parent = step.bound.tree.environment.directory()
            message = FileAction(
                input=step.first if step.before is None else count + step.before,
                secondary_input=step.second if step.copied is None else count + step.copied,
                output=0 if number == last else -1,
                **action.encode(parent, step.base),
            )
            found.append(message)
        return found
