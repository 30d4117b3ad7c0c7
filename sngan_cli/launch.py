"""From a configuration to a recorded run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sngan_cli import trained_extractors
from sngan_cli.catalog import Catalog, blaming
from sngan_cli.composition import Composition, check_size, compose
from sngan_cli.config import Layer, RunConfig
from sngan_cli.contracts import LoadedExtractor, OfOneSide
from sngan_cli.engine import checkpoint
from sngan_cli.engine.cache import DecodedPictures, prepare
from sngan_cli.engine.device import describe, fastest_precision, keep_freed_memory, set_precision, versions
from sngan_cli.engine.distributed import World
from sngan_cli.engine.extraction import check_classes, try_extractor, try_metrics
from sngan_cli.engine.gan import try_networks
from sngan_cli.engine.loop import Result, Training, rate_at
from sngan_cli.engine.processes import Order, leading
from sngan_cli.errors import SnganError, UsageError, WeightsUnavailableError
from sngan_cli.events import Event
from sngan_cli.recording import Recorder, check_folder, environment, provenance
from sngan_cli.stopping import StopSignal
from sngan_cli.trained import check_installed, verified_checkpoint
from sngan_registry import Component, Environment, NewRun, Run, RunBusyError, Status, Store

MAY_CHANGE_ON_RESUME = frozenset(
    {"precision", "steps", "eval_every", "checkpoint_every", "keep_every", "log_every", "device", "data_dir"}
)
"""Settings that leave what was already trained, and how it was scored, as it is (precision follows the device)."""


@dataclass(frozen=True)
class Place:
    """Where runs are recorded, and where their files and the decoded and downloaded data lie."""

    store: Store
    runs: Path
    cache: Path


@dataclass(frozen=True)
class Labels:
    """What the user calls a run."""

    name: str | None = None
    note: str | None = None
    tags: tuple[str, ...] = ()


class Audience(Protocol):
    """Who watches a run: receives the engine's events, and what happens before the first of them."""

    def __call__(self, event: Event) -> None:
        """Show an event of the engine."""

    def decoding(self, done: int, total: int) -> None:
        """Show how many pictures are decoded."""

    def warn(self, message: str) -> None:
        """Show a warning."""

    def debug(self, message: str) -> None:
        """Show what only `--debug` asks for."""

    def begin(self, run_id: str, folder: Path, config: RunConfig, step: int) -> None:
        """Show that training begins, after generator update `step`."""


class TrainedElsewhereError(SnganError):
    """Another process trains the same run."""


@dataclass(frozen=True)
class Prepared:
    """All that training needs. What the user asked for is checked by now, and nothing has been recorded yet."""

    composition: Composition
    data: DecodedPictures
    extractor: LoadedExtractor | None
    unscored: str | None
    """Why there is no extractor, where there is none."""


def train_new(
    composition: Composition,
    place: Place,
    labels: Labels,
    audience: Audience,
    *,
    parent: str | None = None,
    stop: StopSignal,
    is_taken: Callable[[], bool] = lambda: False,
) -> Result:
    """Train and record a new run; `parent` is the run whose configuration it started from.

    `is_taken` is asked right before the run is recorded; raises `TrainedElsewhereError` where it answers yes.
    """
    with leading(composition.config.devices, composition.config.device) as world:
        prepared = _prepare(composition, place, audience, world)
        if is_taken():
            raise TrainedElsewhereError("another process has begun it meanwhile")
        config = prepared.composition.config
        made_on = _environment(world)
        run = place.store.create_run(
            NewRun(
                config=config.to_dict(),
                components=provenance(config, prepared.composition.entries),
                environment=made_on,
                seed=config.seed,
                steps=config.steps or 0,
                name=labels.name,
                note=labels.note,
                tags=labels.tags,
                parent=parent,
            )
        )
        claimed = place.store.claim(run.id, made_on)
        return _train(prepared, claimed, place, audience, world, stop=stop, checkpoint_folder=None)


def train_on(
    run: Run,
    overrides: Sequence[Layer],
    place: Place,
    labels: Labels,
    audience: Audience,
    *,
    which: str,
    stop: StopSignal,
) -> Result:
    """Resume a run from its checkpoint `which` (`last`, `best` or a step), with the few settings that may change.

    Raises `UsageError` where another setting would change, or nothing is left to do, and `CheckpointError` where the
    checkpoint is damaged.
    """
    if run.status is Status.RUNNING:
        raise RunBusyError(run.id, run.environment.host, run.environment.pid)
    check_installed(run, place.store.components(run.id), Catalog.installed())
    recorded = RunConfig.parse(run.config)
    composition = compose([Layer(f"run {run.id}", run.config), *overrides], Catalog.installed())
    config = composition.config
    before, after = recorded.to_dict(), config.to_dict()
    before["extractor"] = trained_extractors.found_again(before["extractor"])
    changed = sorted(key for key in {*before, *after} - MAY_CHANGE_ON_RESUME if before.get(key) != after.get(key))
    if "epochs" in changed:
        raise UsageError(f"Run {run.id} counts steps, {recorded.steps} so far: give --steps in place of --epochs.")
    if "devices" in changed:
        raise UsageError(
            f"Run {run.id} was trained on {recorded.devices} devices and cannot go on with {config.devices}: resume it "
            f"with --devices {recorded.devices}, or start a new run from it with "
            f"`sngan train --like {run.id} --devices {config.devices}`."
        )
    if changed:
        raise UsageError(
            f"Run {run.id} cannot be resumed with another {' or '.join(changed)}: start a new run from it with "
            f"`sngan train --like {run.id}`."
        )
    chosen = verified_checkpoint(place.store, run, place.runs, which, f"sngan train --resume {run.id}")
    total = config.steps or 0
    is_scored = any(score.step == chosen.step for score in place.store.scores(run.id))
    if chosen.step > total or (chosen.step == total and run.status is Status.FINISHED and is_scored):
        raise UsageError(
            f"Run {run.id} is already at step {chosen.step} of {total}: pass a larger --steps to train it on."
        )
    with leading(config.devices, config.device) as world:
        prepared = _prepare(composition, place, audience, world)
        checkpoint.check_data(chosen.folder, prepared.data.data_sha256)
        _warn_of_other_versions(place.store.components(run.id), composition, audience)
        _warn_of_other_rates(recorded, config, chosen.step, audience)
        claimed = place.store.claim(run.id, _environment(world), seen=run)
        place.store.rewind(run.id, chosen.step)
        place.store.update(
            run.id,
            config=prepared.composition.config.to_dict(),
            steps=total,
            name=labels.name,
            note=labels.note,
            add_tags=labels.tags,
        )
        return _train(prepared, claimed, place, audience, world, stop=stop, checkpoint_folder=chosen.folder)


def _train(
    prepared: Prepared,
    run: Run,
    place: Place,
    audience: Audience,
    world: World,
    *,
    stop: StopSignal,
    checkpoint_folder: Path | None,
) -> Result:
    composition, config = prepared.composition, prepared.composition.config
    folder = place.runs / run.id
    with stop, Recorder(place.store, run.id, folder, audience.warn) as recorder:

        def observe(event: Event) -> None:
            recorder(event)
            audience(event)

        folder.mkdir(exist_ok=True)
        (folder / "config.toml").write_text(config.to_toml(), encoding="utf-8")
        recorder.add_artifact("config", folder / "config.toml")
        if prepared.unscored is not None:
            recorder.tell("unscored", prepared.unscored)
        for name, reason in prepared.data.skipped:
            recorder.tell("skipped", f"Picture {name} was skipped: {reason}")
        world.broadcast(Order(config, checkpoint_folder))
        training = Training(
            composition,
            prepared.data,
            folder,
            observe,
            extractor=prepared.extractor,
            stop=lambda: stop() or recorder.taken is not None,
            cache=place.cache / "features",
            world=world,
        )
        if checkpoint_folder is not None:
            training.resume(checkpoint_folder)
            recorder.tell("resumed", f"Resumed from the checkpoint of step {training.progress.step}.")
        audience.begin(run.id, folder, config, training.progress.step)
        result = training.run()
        recorder.ended(result.status, result.step)
    return result


def _warn_of_other_rates(recorded: RunConfig, config: RunConfig, step: int, audience: Audience) -> None:
    """Say that rates which were to fall to nothing rise again, where the run is made longer."""
    before, now = rate_at(recorded, step + 1), rate_at(config, step + 1)
    if now > before:
        audience.warn(
            f"The learning rates fall linearly over all {config.steps} steps: they go on at {now:.0%} of their first "
            f"value, where those of {recorded.steps} steps had come to {before:.0%}."
        )


def _warn_of_other_versions(recorded: Iterable[Component], composition: Composition, audience: Audience) -> None:
    """Say which components come from another version than the run began with: what follows may differ a little."""
    now = {part.role: part for part in provenance(composition.config, composition.entries)}
    for then in recorded:
        part = now.get(then.role, then)
        if (part.distribution, part.version) != (then.distribution, then.version):
            audience.warn(
                f"{then.role} {then.name!r} is now of {part.distribution} {part.version}; the run began with "
                f"{then.distribution} {then.version}."
            )


def _prepare(composition: Composition, place: Place, audience: Audience, world: World) -> Prepared:
    device = world.device
    config = composition.config.changed(precision=composition.config.precision or fastest_precision(device))
    set_precision(config.precision, device)
    if device.type == "cpu" and keep_freed_memory():
        audience.debug(
            "glibc keeps freed memory for the next step (mallopt); set MALLOC_TRIM_THRESHOLD_ to have it not"
        )
    check_folder(place.runs)
    with blaming(composition.entries["dataset"]):
        root, pictures = composition.open_data(place.cache / "downloads")
        size = config.size or composition.dataset.default_side(pictures)
    check_size(composition, size)
    if config.conditional and not pictures.class_names:
        raise UsageError(
            f"The data set {config.dataset.name!r} has no labels, and --conditional needs some: leave it out, or sort "
            "the pictures into one folder a class."
        )
    steps = config.steps
    if config.epochs is not None:
        steps = max(1, config.epochs * len(pictures) // (config.batch_size * config.n_dis))
    resolved = composition.with_config(
        config.changed(size=size, steps=steps, epochs=None, data_dir=None if root is None else str(root))
    )
    try_networks(resolved, len(pictures.class_names) if config.conditional and pictures.class_names else None, device)
    extractor, unscored = _extractor(composition, str(device), place)
    if unscored is not None:
        audience.warn(unscored)
    if isinstance(extractor, OfOneSide) and extractor.side != size:
        audience.warn(
            f"Images of {size} px are scored as {extractor.side} px, which the extractor was trained for: one for "
            "their own size sees more."
        )
    if extractor is not None:
        try_metrics(extractor, composition.metrics.values(), config.eval_samples)
        names = pictures.class_names if config.conditional else None
        check_classes(extractor, composition.metrics, names, "the run is unconditional")
    with blaming(composition.entries["dataset"]):
        data = prepare(pictures, size, place.cache / "pictures", progress=audience.decoding)
    for metric in composition.metrics.values():
        metric.reference(min(config.eval_samples, len(data.images)))  # says so where these are too few
    if data.skipped:
        name, reason = data.skipped[0]
        others = "; `sngan runs show` will name the others" if len(data.skipped) > 1 else ""
        audience.warn(f"{len(data.skipped)} of {len(pictures)} pictures were skipped, such as {name}: {reason}{others}")
    return Prepared(resolved, data, extractor, unscored)


def _extractor(composition: Composition, device: str, place: Place) -> tuple[LoadedExtractor, None] | tuple[None, str]:
    """Load the extractor, or say why nothing will be scored."""
    name = composition.config.extractor.name
    try:
        with blaming(composition.entries["extractor"]):
            extractor = composition.extractor.load(device, place.cache / "weights")
            try_extractor(extractor, name)
    except WeightsUnavailableError as error:
        return None, f"Nothing will be scored. {error}"
    return extractor, None


def _environment(world: World) -> Environment:
    others = f", {world.size} processes" if world.size > 1 else ""
    return environment(describe(world.device) + others, *versions(world.device))
