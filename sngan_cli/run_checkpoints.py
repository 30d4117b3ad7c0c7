"""Checkpoints of a run: those that the registry knows, and those that only lie in its folder."""

from __future__ import annotations

from pathlib import Path

from sngan_cli.engine.checkpoint_folder import name_of, steps_in
from sngan_registry import Checkpoint, Run, Store


def checkpoints_of(store: Store, run: Run, runs: Path) -> list[Checkpoint]:
    """All checkpoints of a run by step, also deleted ones; `runs` is the folder of runs.

    Whole ones that the registry has never heard of are among them, with neither size nor SHA-256: it could not be
    written before the process ended.
    """
    known = store.checkpoints(run.id)
    unknown = set(steps_in(runs / run.id / "checkpoints")) - {each.step for each in known}
    found = (Checkpoint(step=step, path=f"checkpoints/{name_of(step)}", size=0, sha256="") for step in unknown)
    return sorted([*known, *found], key=lambda each: each.step)
