"""From a recorded run back to its generator."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from sngan_cli.catalog import Catalog, blaming
from sngan_cli.comparison import best_step
from sngan_cli.config import ROLES, RunConfig
from sngan_cli.contracts import NetworkShape
from sngan_cli.engine import checkpoint, gan
from sngan_cli.engine.checkpoint_folder import fault
from sngan_cli.errors import CheckpointError, NotFoundError, UsageError, no_such
from sngan_cli.run_checkpoints import checkpoints_of
from sngan_cli.run_folder import files_of, manifest_sha256
from sngan_registry import Checkpoint, Component, Run, Status, Store

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import nn

    from sngan_cli.contracts import Architecture, Normalization

_OF_GENERATOR = ("arch_g", "norm_g")
"""Roles of the components that a generator is built from: it draws where the others are not installed, too."""


@dataclass(frozen=True)
class Chosen:
    """A checkpoint that was found on disk and verified against the registry."""

    step: int
    folder: Path


@dataclass(frozen=True)
class TrainedGenerator:
    """A generator in evaluation mode, and what is known of its run; `class_names` is None where unconditional."""

    network: nn.Module
    step: int
    class_names: tuple[str, ...] | None
    weights: str
    data_sha256: str

    def class_index(self, wanted: str) -> int:
        """Turn a class, by name or number, into its label; raises `NotFoundError` where there is none such.

        Where all names are numbers, such as 0, 5 and 10, a number is a name.
        """
        if self.class_names is None:
            raise UsageError(f"The run is unconditional and has no class {wanted!r}: leave --class out.")
        if wanted in self.class_names:
            return self.class_names.index(wanted)
        last = len(self.class_names) - 1
        if not re.fullmatch(r"-?[0-9]+", wanted) or all(name.isdecimal() for name in self.class_names):
            raise NotFoundError(no_such("class", wanted, self.class_names))
        if not 0 <= int(wanted) <= last:
            raise NotFoundError(
                f"There is no class {wanted}: classes run from 0 ({self.class_names[0]}) to {last} "
                f"({self.class_names[last]})."
            )
        return int(wanted)

    def class_path(self, wanted: str) -> tuple[int, int]:
        """Turn `K` or `A:B` into the labels of both ends of a path; a class may have a colon in its name."""
        names = self.class_names or ()
        ways = [(wanted[:at], wanted[at + 1 :]) for at, letter in enumerate(wanted) if letter == ":"]
        ways = [way for way in ways if all(way)] if names and wanted not in names else []
        known = [way for way in ways if all(end in names or end.isdecimal() for end in way)]
        if ways:
            start, end = (known or ways)[0]
            return self.class_index(start), self.class_index(end)
        only = self.class_index(wanted)
        return only, only


def steps_of(store: Store, run: Run, runs: Path) -> list[int]:
    """Steps of all checkpoints of a run that are on disk."""
    return [found.step for found in _present(store, run, runs)]


def verified_checkpoint(
    store: Store, run: Run, runs: Path, which: str, *, words: Sequence[str] = ("last", "best")
) -> Chosen:
    """Find checkpoint `which` (`last`, `best` or a step) of a run, and verify every byte of it.

    Raises `NotFoundError` where there is none such, and `CheckpointError` naming the damaged file and, as an option,
    another checkpoint that is whole. `words` are those that the user may choose by; without any, nothing is to be
    chosen, and no other checkpoint is proposed.
    """
    present = _present(store, run, runs)
    wanted = _pick(store, run, present, which, words)
    try:
        checkpoint.verify(runs / run.id / wanted.path, manifest_sha256(wanted, run.status))
    except CheckpointError as error:
        host = run.environment.host
        trail = f" The run was last trained on {host}." if host != socket.gethostname() else ""
        remedy = f" {_other(present, wanted, run, runs)}" if words else ""
        raise CheckpointError(f"{error}{trail}{remedy}") from error
    return Chosen(wanted.step, runs / run.id / wanted.path)


def _other(present: Sequence[Checkpoint], damaged: Checkpoint, run: Run, runs: Path) -> str:
    """Say which checkpoint that is whole may take the place of a damaged one: the last before it, or one after it."""
    others = [each for each in present if each.step != damaged.step]
    nearest = sorted(others, key=lambda each: (each.step > damaged.step, -each.step))
    faults = ((each.step, fault(runs / run.id / each.path, manifest_sha256(each, run.status))) for each in nearest)
    sound = next((step for step, found in faults if found is None), None)
    if sound is None:
        return f"There is no other: put it back from a copy, or begin again with `sngan train --like {run.id}`."
    return f"Use another: --checkpoint {sound}."


def check_installed(run: Run, components: Iterable[Component], catalog: Catalog, *, has_choice: bool = False) -> None:
    """Raise `NotFoundError` naming the distribution of a component that the run was made with and is gone.

    The message names the flag that chooses another, too, where there is a choice.
    """
    for component in components:
        kind = ROLES.get(component.role, "metric")
        if component.name not in catalog.names(kind):
            supplier = f"{component.distribution} {component.version}"
            flag = "metric" if kind == "metric" else component.role.replace("_", "-")
            or_else = f", or choose another with --{flag}" if has_choice else ""
            raise NotFoundError(
                f"Run {run.id} was made with the {kind} {component.name!r} of {supplier}, which is not installed: pip "
                f"install '{component.distribution}=={component.version}'{or_else}."
            )


def load_generator(
    store: Store,
    run: Run,
    runs: Path,
    which: str,
    *,
    weights: str | None,
    device: str,
    words: Sequence[str] = ("last", "best"),
) -> TrainedGenerator:
    """Build the generator of a run and load a verified checkpoint into it; `words` as for `verified_checkpoint`.

    `weights` is `raw`, `averaged`, or None for the one that the run itself is scored with.
    """
    catalog = Catalog.installed()
    check_installed(run, [part for part in store.components(run.id) if part.role in _OF_GENERATOR], catalog)
    chosen = verified_checkpoint(store, run, runs, which, words=words)
    progress = checkpoint.read_progress(chosen.folder)
    config = RunConfig.parse(run.config)
    weights = weights or config.weights
    if weights == "averaged" and not config.ema:
        raise UsageError(f"Run {run.id} kept no averaged weights (its ema is 0): use --weights raw.")
    arch = cast("Architecture", catalog.make("architecture", config.arch_g.name, config.arch_g.options, "arch_g"))
    norm = cast("Normalization", catalog.make("normalization", config.norm_g.name, config.norm_g.options, "norm_g"))
    assert config.size is not None  # resolved before training began
    with blaming(catalog.load("architecture", config.arch_g.name).entry):
        untrained = arch.generator(NetworkShape(config.size, progress.classes), norm)
        network = gan.load_generator(untrained, progress.classes, chosen.folder, weights, device)
    return TrainedGenerator(network, chosen.step, progress.class_names, weights, progress.data_sha256)


def _present(store: Store, run: Run, runs: Path) -> list[Checkpoint]:
    """Checkpoints of a run by step; raises `NotFoundError` where there is none, or its files are not here."""
    present = [each for each in checkpoints_of(store, run, runs) if each.deleted is None]
    if not present:
        way_out = "" if run.status is Status.RUNNING else f" `sngan train --like {run.id}` begins it again."
        raise NotFoundError(f"Run {run.id} ({run.status}) has no checkpoint yet.{way_out}")
    files_of(run, runs)
    return present


def _pick(store: Store, run: Run, present: list[Checkpoint], which: str, words: Sequence[str]) -> Checkpoint:
    by_step = {c.step: c for c in present}
    if which == "last":
        return by_step[max(by_step)]
    if which == "best":
        best = best_step(run, store.scores(run.id), by_step)
        if best is None:
            raise NotFoundError(f"Run {run.id} has no scored checkpoint: use --checkpoint last or a step.")
        return by_step[best]
    if re.fullmatch("[0-9]+", which) and int(which) in by_step:
        return by_step[int(which)]
    choice, steps = ", ".join(words), ", ".join(map(str, sorted(by_step)))
    raise NotFoundError(f"Run {run.id} has no checkpoint {which!r}: choose {choice} or one of the steps {steps}.")
