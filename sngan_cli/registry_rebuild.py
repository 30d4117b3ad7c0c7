"""Takes into the registry what lies here and it does not know: runs by their folders, extractors by their manifests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path, PurePosixPath

from sngan_cli import extractor_records, run_remains, trained_extractors
from sngan_cli.errors import SnganError, UsageError
from sngan_cli.extractor_records import State
from sngan_cli.labels import check_name
from sngan_cli.run_folder import CONFIG, RECORD, Description, describe_folder, folders_in, read, tells_more
from sngan_registry import RegistryError, Run, Status, Store
from sngan_registry.backup import unused

_DAMAGE = (ValueError, OverflowError)
"""What a damaged record raises: values of another kind, and numbers that no column holds."""


@dataclass(frozen=True)
class Taken:
    """A run or an extractor that was taken in: `source` is what told of it, `remarks` what is not as it should be."""

    kind: str
    id: str
    name: str | None
    status: str | None
    step: int | None
    source: str
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refused:
    """A folder that nothing could be taken in from, and why."""

    folder: Path
    why: str


def something_to_take(runs: Path) -> bool:
    """Whether there is any run or trained extractor, known or not."""
    return bool(folders_in(runs) or trained_extractors.names())


def unknown_folders(store: Store, runs: Path) -> list[Path]:
    """Folders of runs that the registry does not know."""
    folders = folders_in(runs)  # first, since a run is recorded before it has a folder
    known = {run.run_id for run in store.files()}
    return [each for each in folders if each.name not in known]


def outlived_folders(store: Store, runs: Path) -> list[Path]:
    """Folders that tell how runs went on which nobody trains: the registry was away then, or is a backup."""
    known = [summary.run for summary in store.summaries()]
    return [runs / run.id for run in known if tells_more(runs / run.id, run)]


def rebuild(store: Store, runs: Path, report: Callable[[int, int], None]) -> Iterator[Taken | Refused]:
    """Take in what is not there yet, each run in a transaction of its own, and how those went on that it knows less of.

    All else stays as it is. `report` is told how many folders of how many are done. A folder that is of no use stops
    nothing.
    """
    standings = extractor_records.survey(store.extractors.all())
    to_do = [
        *(partial(take_in, store, folder) for folder in unknown_folders(store, runs)),
        *(partial(catch_up, store, folder) for folder in outlived_folders(store, runs)),
        *(partial(_take_in_extractor, store, standing) for standing in standings if standing.record is None),
    ]
    for done, take in enumerate(to_do):
        report(done, len(to_do))
        yield take()
    report(len(to_do), len(to_do))


def take_in(store: Store, folder: Path) -> Taken | Refused:
    """Take in one run by its folder, whose name is its id; its record may be missing or damaged."""
    try:
        try:
            return _restore(store, folder, _described(folder), RECORD)
        except ValueError as error:
            remains = _without_record(run_remains.remains(folder, str(error)), folder)
            done = _restore(store, folder, remains, f"{CONFIG} and checkpoints")
            if isinstance(done, Taken):
                describe_folder(
                    store, folder.name, folder, lambda _: None
                )  # what cannot be written is found by `check`
            return done
    except (SnganError, RegistryError, OSError, ValueError) as error:
        return Refused(folder, str(error))


def _without_record(remains: Description, folder: Path) -> Description:
    """The same, with the damaged record under another name: the next one takes its place, and tells less."""
    record = folder / RECORD
    if not record.exists():
        return remains
    kept = record.rename(unused(record, f"damaged-{datetime.now(UTC):%Y%m%dT%H%M%S}"))
    return replace(remains, remarks=(*remains.remarks, f"what is left of its {RECORD} is kept in {kept.name}"))


def catch_up(store: Store, folder: Path) -> Taken | Refused:
    """Take in what the folder of a run tells more than the registry, by its record alone."""
    try:
        return _restore(store, folder, _described(folder), RECORD)
    except (SnganError, RegistryError, OSError, ValueError) as error:
        return Refused(folder, str(error))


def _described(folder: Path) -> Description:
    described = read(folder)
    if (run_id := described.values["run"].get("id")) != folder.name:
        raise SnganError(f"{RECORD} is of run {run_id}: give the folder that name, if it is not a copy")
    try:
        _check_paths(described)
        return _well_named(run_remains.agreeing(described, folder))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{RECORD} is damaged ({error})") from error


def _check_paths(described: Description) -> None:
    """Raise `ValueError` where a file is said to lie outside of the run's folder."""
    for each in (*described.values.get("checkpoints", ()), *described.values.get("artifacts", ())):
        path = PurePosixPath(str(each["path"]))
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"{str(path)!r} is not in the run's folder")


def _well_named(described: Description) -> Description:
    """The same without a name that no run can be given."""
    run = described.values["run"]
    if run.get("name") is None:
        return described
    try:
        check_name(str(run["name"]), "the name")
    except UsageError as error:
        values = {**described.values, "run": {**run, "name": None}}
        remark = f"it has lost its name: {error}".rstrip(".")
        return replace(described, values=values, remarks=(*described.remarks, remark))
    return described


def _restore(store: Store, folder: Path, described: Description, source: str) -> Taken | Refused:
    try:
        run = store.restore(described.values, described.scalars)
    except _DAMAGE as error:
        raise ValueError(f"{source} is damaged ({error})") from error
    if run is None:
        return Refused(folder, "another process took it in meanwhile")
    remarks = (*described.remarks, *_remarks(run, described))
    return Taken("run", run.id, run.name, run.status.value, run.step, source, remarks)


def _remarks(run: Run, described: Description) -> Iterator[str]:
    parent = described.values["run"].get("parent")
    if run.parent != parent:
        yield f"the run {parent} that it started from is not there, and it counts as started from none"
    if run.status in (Status.LOST, Status.RUNNING):
        kept = any(each.get("deleted") is None for each in described.values["checkpoints"])
        on = f"--resume {run.id}` goes on" if kept else f"--like {run.id}` begins again, since there is no checkpoint"
        yield (
            f"it was being trained when its folder was last described: `sngan train {on}; if process "
            f"{run.environment.pid} on {run.environment.host} still trains it, stop that first"
        )


def _take_in_extractor(store: Store, standing: extractor_records.Standing) -> Taken | Refused:
    folder = trained_extractors.folder_of(standing.name)
    standing = extractor_records.verified(standing)
    if standing.state is not State.UNRECORDED:
        return Refused(folder, str(standing.remark))
    extractor_records.record(store, trained_extractors.read(standing.name))
    return Taken("extractor", standing.name, standing.name, None, None, trained_extractors.MANIFEST)
