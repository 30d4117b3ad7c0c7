"""What a run's folder tells of the run: left there as training goes, and read where a registry is rebuilt.

$SNGAN_HOME/runs/ID/
    config.toml   checkpoints/   samples/
    run.json      all that the registry knows of the run but its curves, of which it has the number of points
    scalars.csv   the curves: name, step and value, a line each
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from unicodedata import category

from sngan_cli.console import without_nan
from sngan_cli.errors import NotFoundError, SnganError
from sngan_cli.paths import trashed_runs_folder
from sngan_registry import Checkpoint, Run, Scalar, Score, Status, Store
from sngan_registry.ids import is_run_id

CONFIG, RECORD, SCALARS = "config.toml", "run.json", "scalars.csv"
STAGING = ".import-"
"""How the folder begins, beside those of runs, in which runs lie until they are unpacked."""
_COLUMNS = ("name", "step", "value")


@dataclass(frozen=True)
class Description:
    """A run as `Store.restore` takes it, and remarks on what is not as it should be."""

    values: Mapping[str, Any]
    scalars: tuple[Scalar, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recorded:
    """All that the registry knows of a run: its record, and its curves."""

    run: Run
    values: dict[str, Any]
    scalars: tuple[Scalar, ...]

    @classmethod
    def of(cls, store: Store, run_id: str) -> Recorded:
        """Read it."""
        return cls(store.run(run_id), _record(store, run_id), store.scalars(run_id))


def folders_in(runs: Path) -> list[Path]:
    """Folders of runs, oldest run first: those that have an id for a name, or a record."""
    if not runs.is_dir():
        return []
    inside = (each for each in runs.iterdir() if each.is_dir() and not each.name.startswith("."))
    return sorted(each for each in inside if is_run_id(each.name) or (each / RECORD).exists())


def to_take_in(runs: Path) -> str:
    """Say, where folders of runs lie there, how a registry that knows none of them takes them in."""
    there = any(runs.glob(f"*/{RECORD}"))
    return f"There are folders of runs in {runs}: `sngan registry rebuild` takes them in." if there else ""


def files_of(run: Run, runs: Path) -> Path:
    """The folder of a run among those in `runs`; raises `NotFoundError`, which says where to get it, if it is not."""
    folder, trashed, host = runs / run.id, trashed_runs_folder() / run.id, run.environment.host
    if not folder.is_dir():
        if trashed.is_dir():
            raise NotFoundError(f"The files of run {run.id} lie in the trash, in {trashed}: move them to {runs}.")
        way_out = (
            "put them back, or set SNGAN_HOME to where it was trained."
            if host == socket.gethostname()
            else f"`sngan runs export {run.id}` there, and `sngan runs import` here, bring them."
        )
        raise NotFoundError(f"The files of run {run.id} are not in {runs}: it was trained on {host}; {way_out}")
    return folder


def manifest_sha256(checkpoint: Checkpoint, status: Status) -> str | None:
    """SHA-256 that the manifest of a run's checkpoint must have; None where the manifest itself is to be believed.

    The process of a run that is not finished may have replaced the checkpoint and been killed before it recorded that.
    """
    return (checkpoint.sha256 or None) if status is Status.FINISHED else None


def dropped_on_disk(folder: Path, dropped: Iterable[Checkpoint]) -> Iterator[tuple[Checkpoint, Path]]:
    """Those of a run's dropped checkpoints that lie in its folder still, but none that was written again since then."""
    for each in dropped:
        path = folder / each.path
        if each.deleted and path.is_dir() and path.stat().st_mtime < each.deleted.timestamp():
            yield each, path


def describe_folder(store: Store, run_id: str, folder: Path, warn: Callable[[str], None]) -> None:
    """Leave a run's record in its own folder, as `leave` does."""
    leave(Recorded.of(store, run_id), folder, warn)


def leave(recorded: Recorded, folder: Path, warn: Callable[[str], None]) -> None:
    """Leave what is recorded of a run in its own folder, so that the folder alone tells what it holds.

    A record that tells more than the registry stays as it is, of which `warn` is told.
    """
    try:
        _leave(folder, description(recorded, folder), warn)
    except SnganError as error:
        warn(str(error))


def description(recorded: Recorded, folder: Path) -> dict[str, str]:
    """Files that tell what is recorded of a run, by name.

    Raises `SnganError` where the record in the run's folder tells more.
    """
    if tells_more(folder, recorded.run):
        raise SnganError(
            f"{folder / RECORD} tells more of run {recorded.run.id} than the registry, and stays as it is: `sngan "
            "registry rebuild` takes it in."
        )
    return _files(recorded.values, recorded.scalars)


def describe_apart(
    records: Iterable[Callable[[Store], object]], run_id: str, folder: Path, warn: Callable[[str], None]
) -> None:
    """Bring a run's record in its folder up to date with what its registry, which is away, is still to be told.

    Raises `ValueError` where there is no record or it is damaged.
    """
    described = read(folder)
    with Store.open("sqlite://") as apart:
        apart.restore(described.values, described.scalars)
        for record in records:
            record(apart)
        values = _record(apart, run_id)
        values["run"]["parent"] = described.values["run"].get("parent")  # which is not there
        _leave(folder, _files(values, apart.scalars(run_id)), warn)


def _record(store: Store, run_id: str) -> dict[str, Any]:
    return {
        "run": asdict(store.run(run_id)),
        "components": [asdict(c) for c in store.components(run_id)],
        "scores": [_score(s) for s in store.scores(run_id)],
        "checkpoints": [asdict(c) for c in store.checkpoints(run_id)],
        "artifacts": [asdict(a) for a in store.artifacts(run_id)],
        "events": [asdict(e) for e in store.events(run_id)],
    }


def _files(record: Mapping[str, Any], scalars: Sequence[Scalar]) -> dict[str, str]:
    told = {**record, "points": len(scalars)}
    return {SCALARS: _to_csv(scalars), RECORD: json.dumps(without_nan(told), indent=1, default=str)}


def _leave(folder: Path, files: Mapping[str, str], warn: Callable[[str], None]) -> None:
    for name, text in files.items():
        _write(folder / name, text, warn)


def tells_more(folder: Path, run: Run) -> bool:
    """Whether a run that nobody trains went on, as its folder tells: the registry was away then, or is a backup.

    Of a removed run, whether that was after its removal.
    """
    if run.status is Status.RUNNING:
        return False
    known = run.removed or run.ended or run.heartbeat or run.created
    try:
        told = _values(folder)["run"]
        signs = [datetime.fromisoformat(told[sign]) for sign in ("heartbeat", "ended") if told.get(sign)]
        return any(sign > known for sign in signs)
    except (ValueError, TypeError):
        return False


def read(folder: Path) -> Description:
    """Read what `describe_folder` left; a remark says where curves lack points, or cannot be read and are left out.

    Raises `ValueError` where there is no record or it is damaged.
    """
    values = _values(folder)
    scalars, remarks = curves(folder)
    points = values.get("points", 0)  # of which older records say nothing
    if not remarks and isinstance(points, int) and len(scalars) < points:
        remarks = (f"its curves are not whole: {SCALARS} has {len(scalars)} of {points} points",)
    return Description(values, scalars, remarks)


def _values(folder: Path) -> dict[str, Any]:
    try:
        values = _printable(json.loads((folder / RECORD).read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ValueError(f"{RECORD} is missing") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{RECORD} is damaged ({error})") from error
    if not isinstance(values, dict) or not isinstance(values.get("run"), dict):
        raise ValueError(f"{RECORD} describes no run")
    return values


def _printable(value: Any) -> Any:
    """A value of JSON without control characters, which would reach terminals, but for line breaks and tabs."""
    match value:
        case str():
            return "".join("\ufffd" if category(c) == "Cc" and c not in "\n\t" else c for c in value)
        case list():
            return [_printable(each) for each in value]
        case dict():
            return {_printable(key): _printable(each) for key, each in value.items()}
    return value


def curves(folder: Path) -> tuple[tuple[Scalar, ...], tuple[str, ...]]:
    """The curves of a run as far as its folder has them, and a remark where it has not."""
    path = folder / SCALARS
    try:
        with path.open(encoding="utf-8", newline="") as file:
            text, end, cut = file.read().rpartition("\n")
        # What is left of a line that was cut off might be another value.
        remarks = (f"its curves are not whole: the end of {SCALARS} is cut off",) if cut else ()
        return tuple(_from_csv(text + end)), remarks
    except FileNotFoundError:
        return (), (f"its curves are not there: {SCALARS} is missing",)
    except (OSError, ValueError) as error:
        return (), (f"its curves are not there: {SCALARS} is damaged ({error})",)


def _score(score: Score) -> dict[str, Any]:
    """A score as plain values; infinity is spelt out, since JSON knows nothing of it."""
    return {**asdict(score), "value": str(score.value) if math.isinf(score.value) else score.value}


def _to_csv(scalars: Iterable[Scalar]) -> str:
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(_COLUMNS)
    rows.writerows((scalar.name, scalar.step, repr(scalar.value)) for scalar in scalars)
    return text.getvalue()


def _from_csv(text: str) -> Iterator[Scalar]:
    rows = csv.reader(io.StringIO(text, newline=""))
    if (head := tuple(next(rows, ()))) != _COLUMNS:
        raise ValueError(f"it begins with {','.join(head)!r}, not {','.join(_COLUMNS)!r}")
    for row in rows:
        try:
            name, step, value = row
            yield Scalar(name=name, step=int(step), value=float(value))
        except ValueError:
            raise ValueError(f"line {rows.line_num} is {','.join(row)!r}") from None


def _write(path: Path, text: str, warn: Callable[[str], None]) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")  # another process may describe the same run
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        warn(f"{path} cannot be written: {error.strerror}.")
