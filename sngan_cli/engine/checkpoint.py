"""Checkpoints: safetensors and JSON in one folder, written whole or not at all, and verified before they are used.

step-00000300/
    generator.safetensors  averaged.safetensors  discriminator.safetensors
    optimizer_g.safetensors  optimizer_d.safetensors  random.safetensors
    state.json       step, position in the data, best score so far
    manifest.json    size and SHA-256 of every other file; its own SHA-256 is the checkpoint's
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from sngan_cli.disk import flush
from sngan_cli.errors import CheckpointError
from sngan_cli.wording import counted

FORMAT = 1


@dataclass(frozen=True)
class Progress:
    """How far a run has come, beside its tensors, and on what data.

    `class_names` is None where the run is unconditional; `scored_step` was scored last, `best_*` is the best score so
    far, by the first metric, `kept` are the steps whose checkpoints are kept for good, and `devices` is the number of
    processes that train together.
    """

    step: int
    drawn: int
    data_sha256: str
    class_names: tuple[str, ...] | None
    scored_step: int | None = None
    best_step: int | None = None
    best_value: float | None = None
    kept: tuple[int, ...] = ()
    devices: int = 1

    def check(self, data_sha256: str, devices: int) -> None:
        """Raise `CheckpointError` where the run cannot go on from here on these data, with so many processes."""
        if self.data_sha256 != data_sha256:
            raise CheckpointError(
                f"The data set is not the one that the run was trained on: its pixels hash to {data_sha256[:12]}..., "
                f"the run's to {self.data_sha256[:12]}... Restore it, or start a new run with --like."
            )
        if self.devices != devices:
            raise CheckpointError(
                f"The run was trained on {counted(self.devices, 'device')} and can only go on with as many, not with "
                f"{devices}: resume it with --devices {self.devices}, or start a new run with --like."
            )


@dataclass(frozen=True)
class Written:
    """A checkpoint on disk: its folder, the bytes in it and the SHA-256 of its manifest."""

    folder: Path
    size: int
    sha256: str


def name_of(step: int) -> str:
    """Name of the folder that holds the checkpoint of a step."""
    return f"step-{step:08d}"


def folder_of(checkpoints: Path, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    return checkpoints / name_of(step)


def steps_in(checkpoints: Path) -> list[int]:
    """Steps whose checkpoints are on disk, in order."""
    return sorted(int(p.name.removeprefix("step-")) for p in checkpoints.glob("step-????????") if p.is_dir())


def write(checkpoints: Path, progress: Progress, state: Mapping[str, Mapping[str, Tensor]]) -> Written:
    """Write a checkpoint to a temporary folder, flush it to the disk, and rename it into place.

    Raises `CheckpointError` where that fails; what was there before is left as it was.
    """
    target = folder_of(checkpoints, progress.step)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        for leftover in [*checkpoints.glob(".step-*.partial"), *checkpoints.glob(".step-*.removed")]:
            shutil.rmtree(leftover, ignore_errors=True)  # of a process that was killed
        partial.mkdir(parents=True)
        for name, tensors in state.items():
            save_file(
                {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()},
                partial / f"{name}.safetensors",
            )
        _write_json(partial / "state.json", {"format": FORMAT, **asdict(progress)})
        manifest = {p.name: {"size": p.stat().st_size, "sha256": _sha256(p)} for p in sorted(partial.iterdir())}
        _write_json(partial / "manifest.json", manifest)
        for path in [*partial.iterdir(), partial]:
            flush(path)
        _replace(partial, target)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        kept = [step for step in steps_in(checkpoints) if step != progress.step]
        remains = f"the checkpoint of step {kept[-1]} stays" if kept else "there is no earlier checkpoint"
        # safetensors tells the system's error number in words alone.
        full = getattr(error, "errno", None) == errno.ENOSPC or f"os error {errno.ENOSPC}" in str(error)
        remedy = "free some space" if full else "mend that"
        again = "resume the run" if kept else f"start it again with `sngan train --like {checkpoints.parent.name}`"
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise CheckpointError(
            f"The checkpoint of step {progress.step} cannot be written to {checkpoints}: {reason}; {remains}. "
            f"To go on, {remedy} and {again}."
        ) from error
    size = sum(path.stat().st_size for path in target.iterdir())
    return Written(target, size, _sha256(target / "manifest.json"))


def remove(checkpoints: Path, step: int) -> None:
    """Delete a checkpoint from disk; it disappears in one rename, so that a half-deleted one is never read."""
    folder = folder_of(checkpoints, step)
    doomed = folder.with_name(f".{folder.name}.removed")
    shutil.rmtree(doomed, ignore_errors=True)
    folder.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def verify(folder: Path, sha256: str | None) -> None:
    """Raise `CheckpointError` naming the first file that is missing or not what was written.

    `sha256` is the manifest's as the registry recorded it; None trusts the manifest in the folder.
    """
    manifest = folder / "manifest.json"
    if not folder.is_dir():
        raise _damaged(folder, "the folder is missing")
    if not manifest.is_file():
        raise _damaged(manifest, "the file is missing")
    if sha256 is not None and _sha256(manifest) != sha256:
        raise _damaged(manifest, f"its SHA-256 is {_sha256(manifest)[:12]}..., recorded was {sha256[:12]}...")
    try:
        files: dict[str, dict[str, Any]] = json.loads(manifest.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _damaged(manifest, "it is not JSON") from error
    for name, entry in files.items():
        path = folder / name
        if not path.is_file():
            raise _damaged(path, "the file is missing")
        if path.stat().st_size != entry["size"]:
            raise _damaged(path, f"it has {path.stat().st_size} bytes, written were {entry['size']}")
        if (found := _sha256(path)) != entry["sha256"]:
            raise _damaged(path, f"its SHA-256 is {found[:12]}..., written was {entry['sha256'][:12]}...")


def read_progress(folder: Path) -> Progress:
    """Read how far the run had come at a verified checkpoint."""
    values = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    if values.pop("format") != FORMAT:
        raise CheckpointError(
            f"The checkpoint {folder} has another format than {FORMAT}: install the sngan that wrote it."
        )
    names, kept = values.pop("class_names"), values.pop("kept", ())
    return Progress(**values, class_names=None if names is None else tuple(names), kept=tuple(kept))


def read_tensors(folder: Path, name: str) -> dict[str, Tensor]:
    """Read one file of tensors, such as `generator`, of a verified checkpoint."""
    return load_file(folder / f"{name}.safetensors")


def read_state(folder: Path) -> dict[str, dict[str, Tensor]]:
    """Read every tensor of a verified checkpoint, as `Gan.load_state` takes it."""
    return {path.stem: read_tensors(folder, path.stem) for path in sorted(folder.glob("*.safetensors"))}


def _damaged(path: Path, why: str) -> CheckpointError:
    return CheckpointError(f"The checkpoint file {path} is damaged: {why}.")


def _replace(partial: Path, target: Path) -> None:
    if target.exists():
        remove(target.parent, int(target.name.removeprefix("step-")))
    partial.rename(target)
    flush(target.parent)


def _write_json(path: Path, values: object) -> None:
    path.write_text(json.dumps(values, indent=1), encoding="utf-8")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
