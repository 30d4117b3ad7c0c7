"""What can be deleted for good: runs and extractors in the trash, what interrupted writes left behind, and caches."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sngan_cli import trained_extractors
from sngan_cli.errors import SnganError
from sngan_cli.paths import cache_folder, registry_place, runs_folder, trashed_runs_folder
from sngan_cli.run_folder import STAGING, dropped_on_disk, folders_in
from sngan_registry import RunNotFoundError, Status
from sngan_registry.database import registry_url, sqlite_file

if TYPE_CHECKING:
    from sngan_registry import Checkpoint, Run, Store

LEFT_ALONE = timedelta(minutes=10)
"""What a write began is a leftover once nothing in it has changed for longer, and nobody trains its run."""

_READY = timedelta(days=1)
"""A run that is being trained may use whatever of the cache was used later than this before it was begun."""

_CACHED: dict[Literal["pictures", "features"], str] = {"pictures": "[!.]*", "features": "[!.]*.safetensors"}
"""What is made again when it is needed, each in a folder of the cache."""

_LEFTOVERS = (
    ".run.json.*",
    ".scalars.csv.*",
    "checkpoints/.step-*.partial",
    "checkpoints/.step-*.removed",
    "samples/.*.png",
)
"""Files that are renamed when they are whole, and checkpoints that are deleted, in the folder of a run."""

_DELETED = ".{run_id}.{unique}.deleted"
"""Folder, beside those of runs, of one that is being deleted: nobody can restore it any more."""


@dataclass(frozen=True)
class Waste:
    """One thing to delete: its `paths`, the bytes in them, and since when it is there, or is not used if it is cached.

    `name` is the run's id, the extractor's name, the leftover's path or what the cache calls it; `run_id` is of a
    removed run, or of that whose leftover it is.
    """

    kind: Literal["run", "extractor", "leftover", "pictures", "features"]
    name: str
    called: str | None
    paths: tuple[Path, ...]
    size: int
    since: datetime
    run_id: str | None = None


@dataclass(frozen=True)
class Survey:
    """What there is to delete, and what stays.

    `unknown` are folders of runs that the registry does not know, here and in the trash; `misplaced` lie in the trash,
    and their runs are not removed; `unmoved` are of removed runs, and not in the trash: the removal was interrupted, or
    the registry is a backup, and they went on since; `elsewhere` are removed runs whose folders lie on the host that
    trained them.
    """

    waste: tuple[Waste, ...]
    unknown: tuple[Path, ...]
    misplaced: tuple[Path, ...]
    unmoved: tuple[Path, ...]
    elsewhere: tuple[Run, ...]

    @property
    def size(self) -> int:
        """Bytes that deleting makes room for."""
        return sum(each.size for each in self.waste)


def survey(store: Store, older_than: timedelta, *, cached: bool = False) -> Survey:
    """Look for everything that has been waste for longer than that; for what is `cached` only where it is asked for."""
    removed = store.trash.runs()
    there = [summary.run for summary in store.summaries()]
    dropped = {files.run_id: files.dropped for files in store.files()}
    unmoved = tuple(folder for run in removed if (folder := runs_folder() / run.id).exists())
    moved = [run for run in removed if runs_folder() / run.id not in unmoved]
    elsewhere = tuple(run for run in moved if _is_elsewhere(run))
    runs = [_removed(run) for run in moved if run not in elsewhere]
    before = datetime.now(UTC) - older_than
    left = (each for run in there for each in _leftovers(run, dropped[run.id]))
    spare = _cached(there) if cached else ()
    waste = [each for each in (*runs, *_extractors(), *left, *spare) if each.since <= before]
    trashed, known = folders_in(trashed_runs_folder()), {run.id for run in (*there, *removed)}
    unknown = tuple(path for path in (*folders_in(runs_folder()), *trashed) if path.name not in known)
    misplaced = tuple(path for path in trashed if path.name in known - {run.id for run in removed})
    return Survey((*waste, *_half_deleted(), *_half_made()), unknown, misplaced, unmoved, elsewhere)


def delete(store: Store, waste: Waste) -> bool:
    """Delete something for good; False where it is no waste any more: it was restored or used, or the run goes on.

    Raises `SnganError` naming what cannot be deleted.
    """
    paths = waste.paths
    try:
        if waste.kind == "run":
            paths = _deleted(store, waste)
        elif waste.kind in _CACHED:
            if not (paths := _set_aside(*paths, unless_used_after=waste.since)):
                return False
        elif waste.run_id is not None and waste not in _leftovers_now(store, waste.run_id):
            return False
    except RunNotFoundError:
        return False
    for path in paths:
        _delete(path)
    return True


def _deleted(store: Store, waste: Waste) -> tuple[Path, ...]:
    """Delete a removed run from the registry; its folders are put where nobody finds them, and are still there."""
    doomed = []
    with store.trash.deleting(waste.name):
        for path in waste.paths:
            name = _DELETED.format(run_id=waste.name, unique=uuid.uuid4().hex)
            doomed.append(path.rename(path.with_name(name)))
    return tuple(doomed)


def _delete(path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    except FileNotFoundError:
        pass  # another process was quicker
    except OSError as error:
        raise SnganError(f"{path} cannot be deleted: {error.strerror}: {error.filename}.") from error


def _is_elsewhere(run: Run) -> bool:
    """Whether the folder of a removed run lies on the host that trained it."""
    is_here = (trashed_runs_folder() / run.id).exists()
    return not is_here and run.started is not None and run.environment.host != socket.gethostname()


def _removed(run: Run) -> Waste:
    assert run.removed is not None
    folders = tuple(folder for folder in [trashed_runs_folder() / run.id] if folder.exists())
    return Waste("run", run.id, run.name, folders, sum(map(_size, folders)), run.removed, run.id)


def _extractors() -> Iterator[Waste]:
    for each in trained_extractors.discarded():
        yield Waste("extractor", each.name, None, (each.path,), _size(each.path), each.removed)


def _cached(there: Iterable[Run]) -> Iterator[Waste]:
    """Decoded pictures, and features of real images, that nobody uses now."""
    begun = [run.started - _READY for run in there if run.status is Status.RUNNING and run.started]
    for kind, pattern in _CACHED.items():
        for path in sorted((cache_folder() / kind).glob(pattern)):
            with suppress(FileNotFoundError):
                if (used := _used(path)) < min([datetime.now(UTC) - LEFT_ALONE, *begun]):
                    yield Waste(kind, path.stem, None, (path,), _size(path), used)


def _set_aside(path: Path, *, unless_used_after: datetime) -> tuple[Path, ...]:
    """Put something of the cache where nobody reads half of it; nothing, where it is used or another was quicker."""
    try:
        if _used(path) > unless_used_after:
            return ()
        return (path.rename(path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")),)
    except FileNotFoundError:
        return ()


def _used(path: Path) -> datetime:
    """When something of the cache was last used: whoever does says so by its time."""
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _leftovers(run: Run, dropped: Iterable[Checkpoint]) -> Iterator[Waste]:
    """What writes that were interrupted left in the folder of a run, and of checkpoints that it has `dropped`."""
    if run.status is Status.RUNNING:
        return
    folder = runs_folder() / run.id
    left = [(path, _changed(path)) for pattern in _LEFTOVERS for path in sorted(folder.glob(pattern))]
    left += [(path, each.deleted) for each, path in dropped_on_disk(folder, dropped) if each.deleted]
    for path, since in left:
        if since < datetime.now(UTC) - LEFT_ALONE:
            name = path.relative_to(runs_folder()).as_posix()
            yield Waste("leftover", name, run.name, (path,), _size(path), since, run.id)


def _leftovers_now(store: Store, run_id: str) -> list[Waste]:
    dropped = [each for each in store.checkpoints(run_id) if each.deleted is not None]
    return [*_leftovers(store.run(run_id), dropped)]


def _half_deleted() -> Iterator[Waste]:
    """Folders of runs whose deletion was interrupted, of any age: they cannot be restored."""
    pattern = _DELETED.format(run_id="*", unique="*")
    for path in sorted(path for folder in (runs_folder(), trashed_runs_folder()) for path in folder.glob(pattern)):
        yield Waste("leftover", path.name, None, (path,), _size(path), _changed(path))


def _half_made() -> Iterator[Waste]:
    """Folders in which runs were unpacked, and copies of the registry beside it, that nobody writes to any more."""
    registry = sqlite_file(registry_url(registry_place()))
    copies = registry.parent.glob(f".{escape(registry.name)}.*.partial*") if registry else ()
    for path in sorted((*runs_folder().glob(f"{STAGING}*"), *copies)):
        changed = _changed(path)
        if changed < datetime.now(UTC) - LEFT_ALONE:
            yield Waste("leftover", path.name, None, (path,), _size(path), changed)


def _size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return sum(facts.st_size for facts in _facts(path) if stat.S_ISREG(facts.st_mode))


def _changed(path: Path) -> datetime:
    """When a file, or anything in a folder, was last changed; now, where it is gone."""
    changes = [datetime.fromtimestamp(facts.st_mtime, UTC) for facts in _facts(path)]
    return max(changes, default=datetime.now(UTC))


def _facts(path: Path) -> Iterator[os.stat_result]:
    """What the system knows of a file or folder, and of everything in it that is not deleted meanwhile."""
    for each in (path, *path.rglob("*")):
        with suppress(FileNotFoundError):
            yield each.lstat()
