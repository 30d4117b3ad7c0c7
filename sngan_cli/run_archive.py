"""Runs as one file, to be taken from one registry to another: their folders, which describe themselves, in a zip."""

from __future__ import annotations

import shutil
import stat
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from zipfile import BadZipFile, ZipFile, ZipInfo

from sngan_cli.disk import move
from sngan_cli.engine.checkpoint_folder import fault, folder_of, steps_in, verify
from sngan_cli.errors import CheckpointError, DataError, SnganError, UsageError
from sngan_cli.outputs import written
from sngan_cli.paths import runs_folder
from sngan_cli.registry_rebuild import Refused, Taken, take_in
from sngan_cli.run_folder import STAGING, Recorded, description, files_of, manifest_sha256
from sngan_registry import RunBusyError, RunNotFoundError, RunRemovedError, Status
from sngan_registry.ids import is_run_id

if TYPE_CHECKING:
    from sngan_registry import Run, Store


_DEEPEST = 8
"""Folders and the name of a file in an archive, at most; those of a run are four."""


def pack(
    store: Store, runs: Sequence[tuple[Run, Sequence[int]]], target: Path, report: Callable[[int, int], None]
) -> None:
    """Write runs, each with the checkpoints of some steps, to a new file; nothing of theirs is changed.

    Raises `RunBusyError` where one is being trained, `NotFoundError` where its files are not here, and
    `CheckpointError` where a checkpoint is damaged.
    """
    files = {f"{run.id}/{name}": content for run, steps in runs for name, content in _files(store, run, steps).items()}
    # Weights and pictures are as small as they get.
    with written(target) as partial, ZipFile(partial, "w") as archive:
        for done, (inside, content) in enumerate(files.items()):
            report(done, len(files))
            if isinstance(content, Path):
                archive.write(content, inside)
            else:
                archive.writestr(inside, content)
        report(len(files), len(files))


def unpack(store: Store, source: Path, report: Callable[[int, int], None]) -> Iterator[Taken | Refused]:
    """Take in the runs in a file that `pack` wrote, each whole or not at all; those that are there stay as they are.

    Raises `DataError` where the file is none such.
    """
    runs = runs_folder()
    try:
        with ZipFile(source) as archive:
            members = _members(archive, source)
            runs.mkdir(parents=True, exist_ok=True)
            _check_room(sum(each.file_size for inside in members.values() for each in inside), runs)
            total, done = sum(map(len, members.values())), 0
            for run_id, inside in members.items():
                report(done, total)
                yield _unpack(store, archive, run_id, inside, runs)
                done += len(inside)
            report(total, total)
    except (BadZipFile, EOFError, NotImplementedError) as error:
        raise DataError(f"{source} is damaged, or no file that `sngan runs export` wrote: {error}.") from error
    except OSError as error:
        raise SnganError(f"{source} cannot be unpacked into {runs}: {error.strerror}.") from error


def _files(store: Store, run: Run, steps: Sequence[int]) -> dict[str, Path | str]:
    """What a run's folder is to hold, by name: its files, and what the registry knows of it by now."""
    if run.status is Status.RUNNING:
        raise RunBusyError(run.id, run.environment.host, run.environment.pid)
    folder = files_of(run, runs_folder())
    digests = {each.step: manifest_sha256(each, run.status) for each in store.checkpoints(run.id)}
    wanted = [folder_of(folder / "checkpoints", step) for step in steps]
    for step, checkpoint in zip(steps, wanted, strict=True):
        try:
            verify(checkpoint, digests.get(step))
        except CheckpointError as error:
            others = {*steps_in(folder / "checkpoints")} - {step}
            way_out = "To leave it out, name another with --checkpoint." if others else "Put it back from a copy."
            raise CheckpointError(f"{error} {way_out}") from error
    left_out = {folder_of(folder / "checkpoints", step) for step in steps_in(folder / "checkpoints")} - {*wanted}
    found: dict[str, Path | str] = {}
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in inside.parts) and path.parent not in left_out:
            found[inside.as_posix()] = path
    return {**found, **description(Recorded.of(store, run.id), folder)}


def _members(archive: ZipFile, source: Path) -> dict[str, list[ZipInfo]]:
    """The files of each run in an archive; raises `DataError` for anything else in it."""
    members: dict[str, list[ZipInfo]] = {}
    names = Counter(each.filename for each in archive.infolist())
    for each in archive.infolist():
        parts = PurePosixPath(each.filename).parts
        of_a_run = 2 <= len(parts) <= _DEEPEST and is_run_id(parts[0])
        if _leads_elsewhere(each) or not of_a_run or names[each.filename] > 1:
            raise DataError(
                f"{source} holds {each.filename!r}, which is no file of a run: give what `sngan runs export` wrote."
            )
        members.setdefault(parts[0], []).append(each)
    if not members:
        raise DataError(f"{source} holds no run.")
    return members


def _leads_elsewhere(each: ZipInfo) -> bool:
    """Whether it may be written outside of the folder that it is unpacked in."""
    is_link = stat.S_ISLNK(each.external_attr >> 16)
    return is_link or "\\" in each.filename or not {"", ".", ".."}.isdisjoint(each.filename.split("/"))


def _check_room(size: int, runs: Path) -> None:
    free = shutil.disk_usage(runs).free
    if size > free:
        raise UsageError(f"The runs take {size:,} bytes, and {free:,} are free in {runs}: make room first.")


def _unpack(store: Store, archive: ZipFile, run_id: str, inside: Sequence[ZipInfo], runs: Path) -> Taken | Refused:
    folder = runs / run_id
    try:
        known = store.run(run_id)
    except RunRemovedError as error:
        return Refused(folder, str(error))
    except RunNotFoundError:
        known = None
    if folder.exists():
        why = "its folder is there, and not recorded: try `sngan registry rebuild`"
        return Refused(
            folder, "it is there already; to have what is in the file, move the folder away first" if known else why
        )
    with tempfile.TemporaryDirectory(prefix=STAGING, dir=runs) as staging:
        for each in inside:
            archive.extract(each, staging)
        unpacked = Path(staging) / run_id
        checkpoints = unpacked / "checkpoints"
        for step in steps_in(checkpoints):
            if found := fault(folder_of(checkpoints, step), None):
                return Refused(folder, f"its checkpoint of step {step} is damaged: {found.path.name}: {found.why}")
        taken = _files_alone(known) if known else take_in(store, unpacked)
        if isinstance(taken, Refused):
            return replace(taken, folder=folder)
        move(unpacked, folder)  # where that fails, the record is there: the next try brings the files
    return taken


def _files_alone(run: Run) -> Taken:
    """Of a registry that several machines share: the run's record is there, and its files were not."""
    return Taken("run", run.id, run.name, run.status.value, run.step, "files alone")
