"""Checkpoints of a run: those that the registry knows, and those that only lie in its folder."""

from __future__ import annotations

from pathlib import Path

from sngan_cli.engine.checkpoint_folder import name_of, steps_in
from sngan_cli.run_folder import dropped_on_disk
from sngan_registry import Checkpoint, Run, Store


def checkpoints_of(store: Store, run: Run, runs: Path) -> list[Checkpoint]:
    """All checkpoints of a run by step, also deleted ones; `runs` is the folder of runs.

    Whole ones that the registry has never heard of are among them, with neither size nor SHA-256: it could not be
    written before the process ended. So are those that were written again or put back since it took them for gone.
    """
    folder, recorded = runs / run.id, store.checkpoints(run.id)
    there = {each.step for each in recorded if each.deleted is None}
    dropped = {each.step for each, _ in dropped_on_disk(folder, recorded)}
    unknown = {*steps_in(folder / "checkpoints")} - there - dropped
    known = (each for each in recorded if each.step not in unknown)
    found = (Checkpoint(step=step, path=f"checkpoints/{name_of(step)}", size=0, sha256="") for step in unknown)
    return sorted([*known, *found], key=lambda each: each.step)
