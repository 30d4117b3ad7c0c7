"""Checkpoints: safetensors and JSON in one folder, written whole or not at all, and verified before they are used.

What can be told of them without their tensors is in `checkpoint_folder`.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from sngan_cli.disk import exchange, flush, sha256_of
from sngan_cli.engine.checkpoint_folder import (
    FORMAT,
    PROGRESS,
    Progress,
    folder_of,
    name_of,
    read_progress,
    size_and_sha256,
    steps_in,
    verify,
)
from sngan_cli.errors import CheckpointError

__all__ = [
    "Progress", "Written", "folder_of", "name_of", "read_progress", "read_state", "read_tensors", "remove", "steps_in",
    "verify", "write",
]  # fmt: skip


@dataclass(frozen=True)
class Written:
    """A checkpoint on disk: its folder, the bytes in it and the SHA-256 of its manifest."""

    folder: Path
    size: int
    sha256: str


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
        _write_json(partial / PROGRESS, {"format": FORMAT, **asdict(progress)})
        manifest = {p.name: {"size": p.stat().st_size, "sha256": sha256_of(p)} for p in sorted(partial.iterdir())}
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
    return Written(target, *size_and_sha256(target))


def remove(checkpoints: Path, step: int) -> None:
    """Delete a checkpoint from disk; it disappears in one rename, so that a half-deleted one is never read."""
    folder = folder_of(checkpoints, step)
    doomed = folder.with_name(f".{folder.name}.removed")
    shutil.rmtree(doomed, ignore_errors=True)
    folder.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def read_tensors(folder: Path, name: str) -> dict[str, Tensor]:
    """Read one file of tensors, such as `generator`, of a verified checkpoint."""
    return load_file(folder / f"{name}.safetensors")


def read_state(folder: Path) -> dict[str, dict[str, Tensor]]:
    """Read every tensor of a verified checkpoint, as `Gan.load_state` takes it."""
    return {path.stem: read_tensors(folder, path.stem) for path in sorted(folder.glob("*.safetensors"))}


def _replace(partial: Path, target: Path) -> None:
    doomed = target.with_name(f".{target.name}.removed")
    if not exchange(partial, target):  # there is none to replace, or it has to stand aside for a moment
        if target.exists():
            target.rename(doomed)
        partial.rename(target)
    flush(target.parent)
    for replaced in (partial, doomed):
        shutil.rmtree(replaced, ignore_errors=True)


def _write_json(path: Path, values: object) -> None:
    path.write_text(json.dumps(values, indent=1), encoding="utf-8")
