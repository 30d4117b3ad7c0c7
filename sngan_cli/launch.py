"""From a configuration to a recorded run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Protocol

from sngan_cli import preparation, provenance
from sngan_cli.catalog import Catalog, finding_fault
from sngan_cli.comparison import is_scored
from sngan_cli.composition import Composition, compose
from sngan_cli.config import Layer, RunConfig, merge_scalars
from sngan_cli.engine import checkpoint
from sngan_cli.engine.device import describe, versions
from sngan_cli.engine.distributed import World
from sngan_cli.engine.gan import try_checkpoint
from sngan_cli.engine.loop import Result, Training
from sngan_cli.engine.processes import Order, asking_for, given_size, leading
from sngan_cli.engine.schedule import rate_at
from sngan_cli.errors import LostProcessError, SnganError, UncompiledError, UnscoredError, UsageError
from sngan_cli.events import Event, Resumed
from sngan_cli.labels import Labels
from sngan_cli.paths import Place
from sngan_cli.preparation import Prepared, prepare
from sngan_cli.recording import Recorder
from sngan_cli.registry_rebuild import Taken, catch_up
from sngan_cli.run_checkpoints import checkpoints_of
from sngan_cli.run_folder import CONFIG, tells_more
from sngan_cli.run_remains import on_disk
from sngan_cli.stopping import StopAtOnceError, StopSignal
from sngan_cli.trained import check_installed, verified_checkpoint
from sngan_cli.wording import counted, steps_in_words
from sngan_registry import Checkpoint, Component, Environment, NewRun, Run, RunBusyError, Status

MAY_CHANGE_ON_RESUME = frozenset(
    {"precision", "compile", "steps", "eval_every", "checkpoint_every", "keep_every", "log_every", "device", "data_dir"}
)
"""Settings that leave what was trained, and how it was scored, as it is (precision and compile follow the device)."""


class Audience(preparation.Audience, Protocol):
    """Who watches a run: receives the engine's events too."""

    def __call__(self, event: Event) -> None:
        """Show an event of the engine."""

    def begin(self, run_id: str, folder: Path, config: RunConfig, step: int) -> None:
        """Show that training begins, after generator update `step`."""


class TrainedElsewhereError(SnganError):
    """Another process trains the same run."""


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
    with (
        leading(composition.config.devices, composition.config.device) as world,
        finding_fault(composition.entries.values()),
    ):
        prepared = prepare(composition, place, audience, world)
        if is_taken():
            raise TrainedElsewhereError("another process has begun it meanwhile")
        config = prepared.composition.config
        made_on = _environment(world)
        run = place.store.create_run(
            NewRun(
                config=config.to_dict(),
                components=provenance.components(config, prepared.composition.entries),
                environment=made_on,
                seed=config.seed,
                steps=config.steps or 0,
                data_sha256=prepared.data.data_sha256,
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
    agree: Callable[[str], None] = lambda dropped: None,
) -> Result:
    """Resume a run from its checkpoint `which` (`last`, `best` or a step), with the few settings that may change.

    `agree` is told, before it is dropped, what came after the checkpoint and will not simply be made again.
    Raises `UsageError` where another setting would change, or nothing is left to do, and `CheckpointError` where the
    checkpoint is damaged.
    """
    if tells_more(folder := place.runs / run.id, run) and isinstance(catch_up(place.store, folder), Taken):
        run = place.store.run(run.id)
    if run.status is Status.RUNNING:
        raise RunBusyError(run.id, run.environment.host, run.environment.pid)
    check_installed(run, place.store.components(run.id), Catalog.installed())
    recorded = RunConfig.parse(run.config)
    devices = merge_scalars(overrides).get("devices", recorded.devices)
    if devices != recorded.devices:  # said first, as the run's batches need not be a multiple of another number
        other = f" --devices {devices}" if given_size() == 1 else ""
        raise UsageError(
            f"Run {run.id} was trained on {counted(recorded.devices, 'device')} and cannot go on with {devices}: "
            f"resume it with {asking_for(recorded.devices)}, or start a new run from it with "
            f"`sngan train --like {run.id}{other}`."
        )
    as_it_was = Layer(f"run {run.id}", run.config)
    composition = compose([as_it_was, *overrides], Catalog.installed())
    config = composition.config
    # As it would be composed today: a plugin may have got an option since, and a record in TOML lacks what is None.
    _check_changes(run.id, compose([as_it_was], Catalog.installed()).config, config)
    chosen = verified_checkpoint(place.store, run, place.runs, which)
    total = config.steps or 0
    scored = is_scored(run, place.store.scores(run.id), chosen.step)
    if chosen.step > total or (chosen.step == total and run.status is Status.FINISHED and scored):
        raise UsageError(
            f"Run {run.id} is already at step {chosen.step} of {total}: pass a larger --steps to train it on."
        )
    dropped = _dropped(run, chosen.step, place)
    if dropped:
        agree(dropped)
    with leading(config.devices, config.device) as world, finding_fault(composition.entries.values()):
        prepared = prepare(composition, place, audience, world)
        if prepared.extractor is None and chosen.step == total and run.status is Status.FINISHED:
            raise UnscoredError(
                f"Run {run.id} is finished, and cannot be scored, as is said above. Once that is mended, score it "
                f"with: sngan train --resume {run.id}"
            )
        progress = checkpoint.read_progress(chosen.folder)
        progress.check(prepared.data.data_sha256, world.size)
        try_checkpoint(prepared.composition, progress.classes, chosen.folder)  # before anything of the run is changed
        _warn_of_other_rates(recorded, config, chosen.step, audience)
        parts = provenance.components(prepared.composition.config, prepared.composition.entries)
        changes = [
            *_changes(recorded, prepared.composition.config),
            *_other_versions(place.store.components(run.id), parts),
        ]
        made_on = _environment(world)
        claimed = place.store.claim(run.id, made_on, seen=run)
        place.store.rewind(run.id, chosen.step)
        _record_unrecorded(run, chosen.step, place)
        place.store.update(
            run.id,
            config=prepared.composition.config.to_dict(),
            components=parts,
            steps=total,
            name=labels.name,
            note=labels.note,
            add_tags=labels.tags,
        )
        resumed = Resumed(
            chosen.step,
            ", ".join(changes),
            dropped,
            provenance.before(run.environment, made_on),
        )
        return _train(
            prepared, claimed, place, audience, world, stop=stop, checkpoint_folder=chosen.folder, resumed=resumed
        )


def _check_changes(run_id: str, recorded: RunConfig, config: RunConfig) -> None:
    """Raise `UsageError` where a setting differs that may not change when a run is resumed."""
    before, after = recorded.to_dict(), config.to_dict()
    changed = sorted(key for key in {*before, *after} - MAY_CHANGE_ON_RESUME if before.get(key) != after.get(key))
    if "epochs" in changed:
        raise UsageError(f"Run {run_id} counts steps, {recorded.steps} so far: give --steps in place of --epochs.")
    if changed:
        raise UsageError(
            f"Run {run_id} cannot be resumed with another {' or '.join(changed)}: start a new run from it with "
            f"`sngan train --like {run_id}`."
        )


def _dropped(run: Run, step: int, place: Place) -> str:
    """Say what resuming from a step drops: later checkpoints, and scores, also of such that lie here no more.

    What a killed run had not saved yet counts for nothing: training makes it again.
    """
    saved = {each.step: each for each in checkpoints_of(place.store, run, place.runs) if each.step > step}
    later = [each.step for each in saved.values() if each.deleted is None]
    scores = [score for score in place.store.scores(run.id) if score.step in saved]
    parts = [f"{counted(len(later), 'later checkpoint')} ({steps_in_words(later)})"] if later else []
    parts += [counted(len(scores), "later score")] if scores else []
    return f"{' and '.join(parts)}, with losses and sheets since" if parts else ""


def _changes(recorded: RunConfig, config: RunConfig) -> list[str]:
    """Say which settings differ, of those that may."""
    before, after = recorded.to_dict(), config.to_dict()
    return [
        f"{key} from {before.get(key, 'none')} to {after.get(key, 'none')}"
        for key in RunConfig.model_fields
        if key in MAY_CHANGE_ON_RESUME and before.get(key) != after.get(key)
    ]


def _other_versions(recorded: Iterable[Component], parts: Iterable[Component]) -> list[str]:
    """Say which packages supply components in another version than those that the run was trained with until now."""
    now = {part.role: part for part in parts}
    both = [(then, now.get(then.role, then)) for then in recorded]
    said = [tuple(f"{part.distribution} {part.version}" for part in pair) for pair in both]
    return [f"{old} to {new}" for old, new in dict.fromkeys(said) if old != new]


def _record_unrecorded(run: Run, until: int, place: Place) -> None:
    """Record the checkpoints until a step, and that this one is another, where a process was killed before it had."""
    known = {each.step: each.sha256 for each in checkpoints_of(place.store, run, place.runs) if each.sha256}
    for each in on_disk(place.runs / run.id, {*known} - {until})[0]:
        if each["step"] <= until and each["sha256"] != known.get(each["step"]):
            written = Checkpoint(**{**each, "created": datetime.fromisoformat(each["created"])})
            place.store.add_checkpoint(run.id, written)


def _train(
    prepared: Prepared,
    run: Run,
    place: Place,
    audience: Audience,
    world: World,
    *,
    stop: StopSignal,
    checkpoint_folder: Path | None,
    resumed: Resumed | None = None,
) -> Result:
    composition, config = prepared.composition, prepared.composition.config
    folder = place.runs / run.id
    with (
        stop,
        Recorder(place.store, run.id, folder, audience.warn) as recorder,
        _telling_the_way_on(run.id, folder),
        finding_fault(composition.entries.values()),
    ):

        def observe(event: Event) -> None:
            recorder(event)
            audience(event)

        folder.mkdir(exist_ok=True)
        (folder / CONFIG).write_text(config.to_toml(), encoding="utf-8")
        recorder.add_artifact("config", folder / CONFIG)
        if prepared.unscored is not None:
            recorder.tell("unscored", prepared.unscored)
        if resumed is not None:
            recorder(resumed)  # before anything can fail: the registry itself keeps the last command alone
        else:
            recorder.tell("data", f"The data are {len(prepared.data.images)} pictures, SHA-256 {run.data_sha256}.")
            for remark in prepared.data.remarks:
                recorder.tell("data", remark)
        for name, reason in prepared.data.skipped:
            recorder.tell("skipped", f"Picture {name} was skipped: {reason}")
        recorder.describe()  # a run that is killed before its first checkpoint has a record, too
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
        audience.begin(run.id, folder, config, training.progress.step)
        if resumed is not None:
            audience(resumed)
        with _interrupting_compilers(stop):
            result = training.run()
        recorder.ended(result.status, result.step)
    return result


@contextmanager
def _interrupting_compilers(stop: StopSignal) -> Iterator[None]:
    """Context of a run whose signals may reach compilers, too: that these end is then no fault of theirs."""
    try:
        yield
    except UncompiledError as error:
        if stop.received is None:
            raise
        raise StopAtOnceError(
            stop.received, "stopped while torch compiled the networks, without another checkpoint"
        ) from error


@contextmanager
def _telling_the_way_on(run_id: str, folder: Path) -> Iterator[None]:
    """Context of a run that says how to go on with it where a process is lost."""
    try:
        yield
    except LostProcessError as error:
        saved = checkpoint.steps_in(folder / "checkpoints")
        way = (
            f"Go on from step {saved[-1]} with: sngan train --resume {run_id}"
            if saved
            else f"No checkpoint was written yet. Begin again with: sngan train --like {run_id}"
        )
        raise LostProcessError(f"{error} {way}") from error


def _warn_of_other_rates(recorded: RunConfig, config: RunConfig, step: int, audience: Audience) -> None:
    """Say that rates which fall to nothing go on from elsewhere, where the run is made longer or shorter."""
    before, now = rate_at(recorded, step + 1), rate_at(config, step + 1)
    if now != before:
        audience.warn(
            f"The learning rates fall linearly over all {config.steps} steps: they go on at {now:.0%} of their first "
            f"value, where those of {recorded.steps} steps had come to {before:.0%}."
        )


def _environment(world: World) -> Environment:
    others = f", {world.size} processes" if world.size > 1 else ""
    return provenance.environment(describe(world.device) + others, *versions(world.device))
