"""Removing runs and restoring them: what the registry says, and where their folders lie.

$SNGAN_HOME/runs/ID           of a run that is there
$SNGAN_HOME/trash/runs/ID     of one that was removed

The registry says first that a run is removed, and last that it is not: what a kill interrupts leaves a removed run
whose folder is in one of the two places, and the same command, given again, ends it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sngan_cli.disk import move
from sngan_cli.errors import SnganError
from sngan_cli.paths import runs_folder, trashed_runs_folder
from sngan_registry import RunBusyError, RunRemovedError, Status

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sngan_registry import Run, Store


def to_remove(store: Store, refs: Sequence[str]) -> list[Run]:
    """The runs that are meant, each once; raises `RunBusyError` where one of them is being trained.

    A run in the trash is among them where its folder is not: its removal was interrupted.
    """
    found = {run.id: run for run in (_to_remove(store, ref) for ref in refs)}
    for run in found.values():
        if run.status is Status.RUNNING:
            raise RunBusyError(run.id, run.environment.host, run.environment.pid)
    return list(found.values())


def _to_remove(store: Store, ref: str) -> Run:
    try:
        return store.get(ref)
    except RunRemovedError as error:
        unmoved = [run_id for run_id in error.ids if _is_unmoved(run_id)]
        if len(unmoved) != 1:
            raise
        return store.trash.get(unmoved[0])


def _is_unmoved(run_id: str) -> bool:
    return (runs_folder() / run_id).exists() and not (trashed_runs_folder() / run_id).exists()


def remove(store: Store, run_id: str) -> Path | None:
    """Move a run to the trash; returns where its folder lies there, None where it has none here.

    Raises `RunBusyError` where it is being trained, and `SnganError` where its folder cannot be moved: it stays then.
    """
    store.trash.put(run_id)
    try:
        with store.trash.held(run_id):
            folder = runs_folder() / run_id
            return move(folder, trashed_runs_folder() / run_id) if folder.exists() else None
    except (SnganError, OSError):
        with store.trash.restoring(run_id):
            pass
        raise


def restore(store: Store, run_id: str) -> Path | None:
    """Get a run back from the trash; returns where its folder lies, None where it has none here.

    Raises `SnganError` where its folder cannot be moved: it stays in the trash then.
    """
    folder, target = trashed_runs_folder() / run_id, runs_folder() / run_id
    with store.trash.restoring(run_id):
        if folder.exists():
            move(folder, target)
    return target if target.exists() else None
