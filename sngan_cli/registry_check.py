"""Looks whether the registry is sound, and whether the files that it names are there as they were recorded."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sngan_cli import extractor_records, paths, trained_extractors
from sngan_cli.bars import Bars, progress
from sngan_cli.disk import fault_of, sha256_of
from sngan_cli.engine.checkpoint_folder import fault
from sngan_cli.extractor_records import Standing, State
from sngan_cli.registry_rebuild import outlived_folders, unknown_folders
from sngan_cli.run_folder import CONFIG, RECORD, dropped_on_disk, manifest_sha256, read, tells_more
from sngan_cli.wording import sized
from sngan_registry import RunFiles, Status, Store
from sngan_registry.database import registry_url, sqlite_file
from sngan_registry.schema import REVISION
from sngan_registry.soundness import examine

Digest = Callable[[Path], str] | None
"""Takes the SHA-256 of a file; without one, files are looked at by their size."""

_FROM_A_COPY = "put it back from a copy"
ANEW = "restore a backup, or make it anew: `sngan registry rebuild`"
_ON_A_SERVER = "restore a backup with the database's own tools"


@dataclass(frozen=True)
class Finding:
    """What was found, where, and what to do; `is_fault` is false where nothing is wrong with it."""

    what: str
    where: str
    remedy: str
    is_fault: bool = True


@dataclass(frozen=True)
class Report:
    """What was looked at, by kind, and what was found, faults first."""

    registry: str
    schema: str | None
    looked_at: dict[str, int]
    findings: tuple[Finding, ...]

    @property
    def remarks(self) -> tuple[Finding, ...]:
        """What is worth knowing, and not wrong."""
        return tuple(finding for finding in self.findings if not finding.is_fault)

    @property
    def faults(self) -> tuple[Finding, ...]:
        """What is wrong."""
        return tuple(finding for finding in self.findings if finding.is_fault)


def check(*, hashes: bool) -> Report:
    """Look at the database, and, where it is sound, at the files; with `hashes` at every byte of them.

    Changes nothing, not even the schema of an older database.
    """
    with progress("reading the registry") as report:
        examined = examine(paths.registry_place(), report)
    remedy = ANEW if sqlite_file(registry_url(paths.registry_place())) else _ON_A_SERVER
    findings = [
        Finding(f"database: {each.what}", each.where or paths.registry_name(), remedy) for each in examined.faults
    ]
    if not examined.is_current:
        what = f"schema {examined.revision}, where this sngan has {REVISION}"
        findings.append(Finding(what, paths.registry_name(), "bring it up to date: `sngan registry upgrade`"))
    looked_at: dict[str, int] = {}
    if not findings:
        with paths.open_store(create=False) as store:
            findings, looked_at = _files(store, hashes=hashes)
    in_order = sorted([*findings, *_backups()], key=lambda finding: not finding.is_fault)
    return Report(paths.registry_name(), examined.revision, looked_at, tuple(in_order))


def _files(store: Store, *, hashes: bool) -> tuple[list[Finding], dict[str, int]]:
    """What is wrong with files, and what was looked at."""
    findings = [*map(_of_unknown, unknown_folders(store, paths.runs_folder()))]
    outlived = {folder.name: folder for folder in outlived_folders(store, paths.runs_folder())}
    findings += [
        Finding("folder of a run tells more than its record", str(folder), "take it in: `sngan registry rebuild`")
        for folder in outlived.values()
    ]
    findings += [
        Finding(
            "run counts as removed, and its folder tells how it went on since",
            str(paths.runs_folder() / run.id),
            f"get it back: `sngan runs restore {run.id}`, then `sngan registry rebuild`",
        )
        for run in store.trash.runs()
        if tells_more(paths.runs_folder() / run.id, run)
    ]
    runs, standings = store.files(), extractor_records.survey(store.extractors.all())
    # Files of a run that went on since it was recorded are others than were recorded.
    here = {run: folder for run in runs if (folder := _folder_of(run)) and run.run_id not in outlived}
    gone = [run for run in runs if _folder_of(run) is None and (run.checkpoints or run.artifacts)]
    at_home = [run for run in gone if run.host == socket.gethostname() or _trashed(run)]
    findings += map(_of_gone, at_home)
    with Bars("MiB") as bars:
        meter = _Meter(partial(bars.show, "comparing SHA-256"), _size(here, standings))
        digest = partial(sha256_of, report=meter.add) if hashes else None
        faulty = {run.run_id: found for run, folder in here.items() if (found := [*_of_run(run, folder, digest)])}
        findings += [found for standing in standings for found in _of_extractor(standing, digest)]
    findings += _settled(store, here, faulty, digest)
    looked_at = {
        "runs": len(runs),
        "checkpoints": sum(len(run.checkpoints) for run in here),
        "artifacts": sum(len(run.artifacts) for run in here),
        "extractors": sum(each.state.has_folder for each in standings),
        "runs elsewhere": len(gone) - len(at_home),
        "extractors elsewhere": sum(each.state is State.ELSEWHERE for each in standings),
    }
    return findings, looked_at


def _settled(
    store: Store, seen: Mapping[RunFiles, Path], faulty: Mapping[str, list[Finding]], digest: Digest
) -> Iterator[Finding]:
    """Faults of runs whose files stand recorded as they were; others are looked at again: they are being trained."""
    for now in store.files() if faulty else ():
        if now in seen:
            yield from faulty.get(now.run_id, ())
        elif now.run_id in faulty and (folder := _folder_of(now)):
            yield from _of_run(now, folder, digest)


def _size(runs: Iterable[RunFiles], standings: Iterable[Standing]) -> int:
    """Bytes in all files of runs and in the weights of extractors that lie here."""
    of_runs = sum(sum(each.size for each in run.checkpoints) + sum(each.size for each in run.artifacts) for run in runs)
    return of_runs + sum((s.values or {}).get("weights_size") or 0 for s in standings if s.state.has_folder)


class _Meter:
    """Counts bytes for a bar, which shows MiB."""

    def __init__(self, show: Callable[[float, float], None], total: int) -> None:
        self._show, self._total, self._done = show, total, 0

    def add(self, amount: int) -> None:
        """Count some more."""
        self._done += amount
        self._show(min(self._done, self._total) / 2**20, self._total / 2**20)


def _folder_of(run: RunFiles) -> Path | None:
    """Where the files of a run lie: if it is removed also in the trash, out of which it may come back."""
    folder = paths.runs_folder() / run.run_id
    return folder if folder.is_dir() else _trashed(run) if run.removed else None


def _trashed(run: RunFiles) -> Path | None:
    folder = paths.trashed_runs_folder() / run.run_id
    return folder if folder.is_dir() else None


def _of_gone(run: RunFiles) -> Finding:
    if trashed := _trashed(run):
        what = "folder of a run that is not removed lies in the trash"
        return Finding(what, str(trashed), f"move it to {paths.runs_folder()}")
    where = str(paths.runs_folder() / run.run_id)
    ways = f"{_FROM_A_COPY}, give `sngan runs import` the run's file again, or remove the run"
    return Finding("folder of a run is gone", where, f"{ways}: `sngan runs rm {run.run_id}`")


def _of_unknown(folder: Path) -> Finding:
    """A folder of a run that the registry does not know."""
    if (folder / RECORD).exists() or (folder / CONFIG).exists():
        return Finding("run is not recorded", str(folder), "take it in: `sngan registry rebuild`")
    remedy = f"put {RECORD} or {CONFIG} back from a copy, or delete the folder"
    return Finding("run is not recorded, and nothing tells what it was", str(folder), remedy)


def _of_run(run: RunFiles, folder: Path, digest: Digest) -> Iterator[Finding]:
    found = {
        each.step: fault(folder / each.path, manifest_sha256(each, run.status), digest) for each in run.checkpoints
    }
    whole = [str(step) for step, fault_ in found.items() if fault_ is None]
    others = f", or use another: --checkpoint {' or '.join(whole)}" if whole else ""
    for step, fault_ in found.items():
        if fault_ is not None:
            yield Finding(f"checkpoint of step {step}: {fault_.why}", str(fault_.path), f"{_FROM_A_COPY}{others}")
    for artifact in run.artifacts:
        path = folder / artifact.path
        if why := fault_of(path, artifact.size, artifact.sha256, digest, known_as="recorded"):
            needed = (
                f"a rebuild needs it where {RECORD} is lost" if artifact.path == CONFIG else "nothing depends on it"
            )
            remedy = f"{_FROM_A_COPY}, or let it be: {needed}"
            yield Finding(f"artifact: {why}", str(path), remedy)
    if run.status is not Status.RUNNING:
        for why in () if run.removed else _of_record(folder):
            anew = f"write what the registry has of it by a label: `sngan runs tag {run.run_id} --add TAG`"
            yield Finding(f"record: {why}", str(folder), f"{_FROM_A_COPY}, or {anew}")
        for each, path in dropped_on_disk(folder, run.dropped):
            what = f"checkpoint of step {each.step} was dropped, and lies there still"
            yield Finding(what, str(path), "`sngan runs gc` deletes it", is_fault=False)


def _of_record(folder: Path) -> tuple[str, ...]:
    """What is wrong with the record in a run's folder."""
    try:
        return read(folder).remarks
    except ValueError as error:
        return (str(error),)


def _of_extractor(standing: Standing, digest: Digest) -> Iterable[Finding]:
    if digest is not None:
        standing = extractor_records.verified(standing, digest)
    if standing.state in (State.HERE, State.ELSEWHERE):
        return ()
    where = (standing.values or {}).get("path") or trained_extractors.folder_of(standing.name)
    return (Finding(f"extractor {standing.state.value}", str(where), str(standing.remark), standing.state.is_fault),)


def _backups() -> Iterator[Finding]:
    """Copies of the registry that lie beside it."""
    path = sqlite_file(registry_url(paths.registry_place()))
    if path is None or not path.parent.is_dir():
        return
    for pattern in ("before-", "backup-", "damaged-"):
        for copy in sorted(path.parent.glob(f"{path.name}.{pattern}*")):
            if not copy.name.endswith(("-journal", "-wal", "-shm")):
                size = sized(copy.stat().st_size)
                what = f"{'damaged registry' if pattern == 'damaged-' else 'backup'} of {size}"
                yield Finding(what, str(copy), "delete it once you need it no longer", is_fault=False)
