"""The start-up of small commands, beside a bare interpreter and beside importing typer."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.bench.measure import Cost, Side
from tests.bench.table import TARKIT, remover

RUNS = 15
FIXTURE = Path(__file__).parents[2] / "fixtures" / "hello.tar"
_WITH_BYTECODE = ("env", "-u", "PYTHONDONTWRITEBYTECODE")  # as an installed tarkit has it
_PYTHON = (*_WITH_BYTECODE, sys.executable)


@dataclass(frozen=True, slots=True)
class StartResult:
    """The best of several runs, less the best of a bare interpreter; the target is in seconds."""

    work: str
    wall: float
    cpu: float
    target: float | None

    @property
    def holds(self) -> bool:
        """Return whether the target is met."""
        return self.target is None or self.wall <= self.target


def startup_section(work: Path) -> tuple[str, list[StartResult]]:
    """Return the table under its title, and the result for each command."""
    sides = _sides(work)
    for side, _ in sides.values():  # without counting it: this writes the bytecode
        side.run()
    costs: dict[str, list[Cost]] = {name: [] for name in sides}
    for _ in range(RUNS):
        for name, (side, _) in sides.items():
            costs[name].append(side.run())
    wall = {name: min(cost.wall for cost in found) for name, found in costs.items()}
    cpu = {name: min(cost.cpu for cost in found) for name, found in costs.items()}
    bare = next(iter(sides))
    results = [
        StartResult(name, wall[name] - wall[bare], cpu[name] - cpu[bare], target)
        for name, (_, target) in sides.items()
    ]
    lines = [
        f"| {each.work} | {wall[each.work] * 1e3:.0f} ms | **{each.wall * 1e3:+.0f} ms** "
        f"| {f'≤ +{each.target * 1e3:.0f} ms' if each.target else ''} | {each.cpu * 1e3:+.0f} ms "
        f"| {('yes' if each.holds else '**no**') if each.target else ''} |"
        for each in results
    ]
    table = (
        f"| command, best of {RUNS} runs | wall | above a bare interpreter | target | CPU | holds |\n"
        "|---|---|---|---|---|---|\n" + "\n".join(lines)
    )
    return f"## Starting\n\n{table}\n", results


def _sides(work: Path) -> dict[str, tuple[Side, float | None]]:
    """Return the commands with their targets, the bare interpreter first."""
    archive, layout, copy = f"docker-archive:{FIXTURE}", work / "layout", work / "copy"
    subprocess.run([*TARKIT, "copy", "-q", archive, f"oci:{layout}:x"], check=True)
    tarkit = (*_WITH_BYTECODE, *TARKIT)
    small = {
        "`inspect` of a docker-archive": ("inspect", archive),
        "`inspect` of a layout": ("inspect", f"oci:{layout}:x"),
        "`list` of a docker-archive": ("list", archive),
        "`list` of a layout": ("list", f"oci:{layout}"),
        "`copy` of a docker-archive of 40 KiB to a layout": ("copy", archive, f"oci:{copy}:x"),
        "`copy` of a layout of 1 KiB to a layout": ("copy", f"oci:{layout}:x", f"oci:{copy}:x"),
    }
    return {
        "bare interpreter": (Side((*_PYTHON, "-c", "pass")), None),
        "`import typer`": (Side((*_PYTHON, "-c", "import typer")), None),
        "`tarkit --version`": (Side((*tarkit, "--version")), 0.012),
        **{
            name: (Side((*tarkit, *arguments), prepare=remover(copy)), 0.065)
            for name, arguments in small.items()
        },
    }
