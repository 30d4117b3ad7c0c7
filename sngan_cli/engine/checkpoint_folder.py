"""What a checkpoint's folder tells without its tensors, and so without torch: steps, progress, and whether it is whole.

step-00000300/
    generator.safetensors  averaged.safetensors  discriminator.safetensors
    optimizer_g.safetensors  optimizer_d.safetensors  random.safetensors
    state.json       step, position in the data, best score so far
    manifest.json    size and SHA-256 of every other file; its own SHA-256 is the checkpoint's
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sngan_cli.disk import fault_of, sha256_of
from sngan_cli.errors import CheckpointError
from sngan_cli.wording import counted

FORMAT = 1
PROGRESS = "state.json"


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

    @property
    def classes(self) -> int | None:
        """How many classes the networks know; None where the run is unconditional."""
        return None if self.class_names is None else len(self.class_names)

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
class Fault:
    """A file or folder that is not as it was written, and why."""

    path: Path
    why: str


def name_of(step: int) -> str:
    """Name of the folder that holds the checkpoint of a step."""
    return f"step-{step:08d}"


def folder_of(checkpoints: Path, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    return checkpoints / name_of(step)


def steps_in(checkpoints: Path) -> list[int]:
    """Steps whose checkpoints are on disk, in order."""
    return sorted(int(p.name.removeprefix("step-")) for p in checkpoints.glob("step-" + 8 * "[0-9]") if p.is_dir())


def fault(folder: Path, sha256: str | None, digest: Callable[[Path], str] | None = sha256_of) -> Fault | None:
    """The first file of a checkpoint that is missing or not what was written; None where all are.

    `sha256` is the manifest's as the registry recorded it; None trusts the manifest in the folder. `digest` takes the
    SHA-256 of a file; without it, files that the manifest names are looked at by their size alone.
    """
    manifest = folder / "manifest.json"
    if not folder.is_dir():
        return Fault(folder, "the folder is missing")
    if not manifest.is_file():
        return Fault(manifest, "the file is missing")
    if sha256 is not None and (found := sha256_of(manifest)) != sha256:
        return Fault(manifest, f"its SHA-256 is {found[:12]}..., recorded was {sha256[:12]}...")
    try:
        written = {str(name): (entry["size"], entry["sha256"]) for name, entry in _read(manifest).items()}
        written[PROGRESS]  # as every manifest has it
    except ValueError:
        return Fault(manifest, "it is not JSON")
    except (TypeError, KeyError, AttributeError):
        return Fault(manifest, "it is no manifest")
    faults = ((folder / name, fault_of(folder / name, *known, digest)) for name, known in written.items())
    return next((Fault(path, why) for path, why in faults if why is not None), None)


def verify(folder: Path, sha256: str | None) -> None:
    """Raise `CheckpointError` naming the first file that is missing or not what was written; compares as `fault`."""
    if found := fault(folder, sha256):
        raise CheckpointError(f"The checkpoint file {found.path} is damaged: {found.why}.")


def size_and_sha256(folder: Path) -> tuple[int, str]:
    """Bytes in a checkpoint's folder, and the SHA-256 of its manifest, as they are recorded."""
    return sum(path.stat().st_size for path in folder.iterdir()), sha256_of(folder / "manifest.json")


def read_progress(folder: Path) -> Progress:
    """Read how far the run had come at a verified checkpoint."""
    values = _read(folder / PROGRESS)
    if values.pop("format") != FORMAT:
        raise CheckpointError(
            f"The checkpoint {folder} has another format than {FORMAT}: install the sngan that wrote it."
        )
    names, kept = values.pop("class_names"), values.pop("kept", ())
    return Progress(**values, class_names=None if names is None else tuple(names), kept=tuple(kept))


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
