"""What can be told of a run whose record is lost: from its configuration, its checkpoints and its pictures."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sngan_cli import provenance
from sngan_cli.catalog import Entry
from sngan_cli.config import ROLES, RunConfig
from sngan_cli.disk import sha256_of
from sngan_cli.engine.checkpoint_folder import fault, folder_of, name_of, size_and_sha256, steps_in
from sngan_cli.errors import DataError, UsageError
from sngan_cli.run_folder import CONFIG, Description, curves
from sngan_cli.wording import counted, steps_in_words
from sngan_registry.ids import is_run_id, time_of

UNKNOWN = "unknown"
"""Stands for what nobody wrote down, where the registry needs a word."""


def remains(folder: Path, why: str) -> Description:
    """Describe a run without its record; `why` says what became of that.

    Scores, tags, note and the environment are not to be had. The run counts as interrupted, so that it can be resumed.
    Raises `DataError` where there is no configuration either.
    """
    if not is_run_id(folder.name):
        raise DataError(f"{why}, and {folder.name!r} is no id of a run")
    config = _configuration(folder, why)
    checkpoints, remarks = on_disk(folder)
    created = time_of(folder.name)
    step = max((each["step"] for each in checkpoints), default=0)
    told = f"Taken in from its configuration and {len(checkpoints)} of its checkpoints alone: {why}."
    run = {
        "id": folder.name, "status": "interrupted", "reason": told, "config": config.to_dict(), "seed": config.seed,
        "step": step, "steps": config.steps or 0, "created": _iso(created), "started": _iso(created),
        "ended": max((each["created"] for each in checkpoints), default=_iso(created)),
        "environment": dict.fromkeys(("sngan", "python", "torch", "device", "host", "command"), UNKNOWN) | {"pid": 0},
    }  # fmt: skip
    scalars, of_curves = curves(folder)
    values = {
        "run": run,
        "components": list(_components(config)),
        "checkpoints": checkpoints,
        "artifacts": list(_artifacts(folder)),
        "events": [{"kind": "rebuilt", "message": told, "step": step, "created": _iso(datetime.now(UTC))}],
    }
    lacking = f"{why}: scores, tags, note, versions and most events are not to be had"
    return Description(values, scalars, (lacking, *remarks, *of_curves))


def agreeing(described: Description, folder: Path) -> Description:
    """The same with the checkpoints that are there: some may have come and gone since the record was written.

    Raises `ValueError` or `TypeError` where the record is none.
    """
    listed = described.values.get("checkpoints", [])
    if not isinstance(listed, list) or not all(
        isinstance(each, dict) and {"path", "step"} <= each.keys() for each in listed
    ):
        raise ValueError("its checkpoints are no records")
    run: dict[str, Any] = described.values["run"]
    rows, gone = [], []
    for each in listed:
        as_said = each.get("deleted") is not None or (folder / str(each["path"])).is_dir()
        # Of that time nothing on the disk is: what is put back is no checkpoint that training dropped.
        rows.append(each if as_said else {**each, "deleted": run.get("created")})
        if not as_said:
            gone.append(int(each["step"]))
    remarks = []
    if gone:
        remarks.append(f"gone, and counted as deleted: {counted(len(gone), 'checkpoint')}, of {steps_in_words(gone)}")
    found, faults = on_disk(folder, [each["step"] for each in rows])
    step = max([run.get("step", 0), *(each["step"] for each in found)])
    values = {**described.values, "run": {**run, "step": step}, "checkpoints": [*rows, *found]}
    return Description(values, described.scalars, (*described.remarks, *remarks, *faults))


def on_disk(folder: Path, known: Iterable[object] = ()) -> tuple[list[dict[str, Any]], list[str]]:
    """Records of the whole checkpoints of a run's folder, but those of `known` steps, and remarks on broken ones."""
    checkpoints, records, remarks = folder / "checkpoints", [], []
    for step in sorted({*steps_in(checkpoints)} - {*known}):
        place = folder_of(checkpoints, step)
        if found := fault(place, None, digest=None):
            remarks.append(f"its checkpoint of step {step} is left out: {found.path.name}: {found.why}")
            continue
        size, sha256 = size_and_sha256(place)
        path, written = f"checkpoints/{name_of(step)}", _time_of(place / "manifest.json")
        records.append({"step": step, "path": path, "size": size, "sha256": sha256, "created": written})
    return records, remarks


def _configuration(folder: Path, why: str) -> RunConfig:
    path = folder / CONFIG
    try:
        return RunConfig.parse(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise DataError(f"{why}, and {CONFIG} is missing") from None
    except (OSError, ValueError, UsageError) as error:
        raise DataError(f"{why}, and {CONFIG} cannot be used ({error})") from error


def _components(config: RunConfig) -> Iterator[dict[str, Any]]:
    """The components that a configuration names; who supplied them, nobody knows."""
    tables = config.to_dict()
    named = {role: str(tables[role]["name"]) for role in ROLES} | {f"metrics.{name}": name for name in config.metrics}
    entries = {role: Entry(ROLES.get(role, "metric"), name, UNKNOWN, UNKNOWN, UNKNOWN) for role, name in named.items()}
    return map(asdict, provenance.components(config, entries))


def _artifacts(folder: Path) -> Iterator[dict[str, Any]]:
    """Records of the configuration and of the sheets of samples."""
    for path in (folder / CONFIG, *sorted(folder.glob("samples/*.png"))):
        numbered = re.fullmatch("step-([0-9]+)", path.stem)
        yield {
            "kind": "samples" if path.parent != folder else "config",
            "path": path.relative_to(folder).as_posix(),
            "size": path.stat().st_size,
            "sha256": sha256_of(path),
            "step": int(numbered[1]) if numbered else None,
            "created": _time_of(path),
        }


def _time_of(path: Path) -> str:
    return _iso(datetime.fromtimestamp(path.stat().st_mtime, UTC))


def _iso(time: datetime) -> str:
    return time.isoformat()
