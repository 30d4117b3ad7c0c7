"""Removing runs and restoring them: what the registry says, and where their folders lie.

$SNGAN_HOME/runs/ID           of a run that is there
$SNGAN_HOME/trash/runs/ID     of one that was removed

The registry says first that a run is removed, and last that it is not: what a kill interrupts leaves a removed run
whose folder is in one of the two places, and the same command, given again, ends it.
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING

from sngan_cli.errors import SnganError
from sngan_cli.home import trash_folder
from sngan_cli.paths import runs_folder
from sngan_registry import RunBusyError, RunRemovedError, Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sngan_registry import Run, Store


def trashed_runs_folder() -> Path:
    """The folders of removed runs, one each."""
    return trash_folder() / "runs"


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
            return _move(runs_folder() / run_id, trashed_runs_folder() / run_id)
    except SnganError:
        with store.trash.restoring(run_id):
            pass
        raise


def restore(store: Store, run_id: str) -> Path | None:
    """Get a run back from the trash; returns where its folder lies, None where it has none here.

    Raises `SnganError` where its folder cannot be moved: it stays in the trash then.
    """
    target = runs_folder() / run_id
    with store.trash.restoring(run_id):
        _move(trashed_runs_folder() / run_id, target)
    return target if target.exists() else None


_WAY_OUT = {
    errno.ENOTEMPTY: "move {target} out of the way first",
    errno.EXDEV: "they are on two disks: make {folder} a link to a folder on the disk of {source}",
    errno.ENOSPC: "make room on the disk",
}


def _move(source: Path, target: Path) -> Path | None:
    """Move a folder in one step; None where there is nothing to move."""
    if not source.exists():
        return None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return source.rename(target)
    except OSError as error:
        way_out = _WAY_OUT.get(error.errno or 0, "check that you may write both folders")
        remedy = way_out.format(source=source, target=target, folder=target.parent)
        raise SnganError(f"The folder {source} cannot be moved to {target}: {error.strerror}; {remedy}.") from error
