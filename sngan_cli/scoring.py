"""Scores of trained generators, after training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from sngan_cli.catalog import Catalog, reason_of
from sngan_cli.comparison import best_step
from sngan_cli.composition import compose, data_root
from sngan_cli.config import Layer, RunConfig
from sngan_cli.engine import evaluation, sampling
from sngan_cli.engine.device import resolve_device
from sngan_cli.engine.evaluation import Drawing, Failure
from sngan_cli.errors import CheckpointError, NotFoundError, UnscoredError, UsageError
from sngan_cli.events import Scored
from sngan_cli.measuring import Audience, Request, Ruler
from sngan_cli.paths import Place
from sngan_cli.recording import score_of
from sngan_cli.run_folder import describe_folder
from sngan_cli.stopping import StopAtOnceError
from sngan_cli.trained import TrainedGenerator, check_installed, load_generator, steps_of
from sngan_registry import Event, RegistryError, Run, Score

_DROPPED = "The run was resumed meanwhile from a step before, and what was scored is dropped: score it again."


@dataclass
class Scores:
    """What was measured and recorded, and what could not be."""

    found: list[Scored] = field(default_factory=list)
    stopped: StopAtOnceError | None = None
    """The signal that has ended the measuring, where one has."""
    unrecorded: RegistryError | None = None
    """Why what was found could not be recorded, or not all of it."""
    _reasons: dict[str, list[str]] = field(default_factory=dict)
    _first: Failure | None = None

    def unscored(self, of: str = "") -> Callable[[str, Failure], None]:
        """Take note of what fails: metrics, `of` a step where there are several, or a whole step."""

        def note(what: str, error: Failure) -> None:
            itself = [entry for entry in Catalog.installed().entries("metric") if entry.name == what]
            self._reasons.setdefault(reason_of(error, itself), []).append(f"{what}{of}")
            self._first = self._first or error

        return note

    def record(self, scored: Scored, add: Callable[[], None]) -> None:
        """Take in what was measured, maybe for hours: it is told of also where it cannot be recorded."""
        self.found.append(scored)
        try:
            add()
        except RegistryError as error:
            self.unrecorded = error

    @contextmanager
    def until_stopped(self) -> Iterator[None]:
        """Context that a signal may end: what was measured until then is recorded, and is told of like the rest."""
        try:
            yield
        except StopAtOnceError as error:
            self.stopped = error

    def check_some(self) -> None:
        """Raise what `check_all` does where nothing at all was measured."""
        if not self.found:
            self.check_all()

    def check_all(self) -> None:
        """Raise the signal that ended the measuring, or what else went wrong.

        `UnscoredError` names each metric, and each reason once.
        """
        if self.stopped:
            raise self.stopped
        if self.unrecorded:
            self.unrecorded.args = (f"{self.unrecorded} The scores were measured, and are not all recorded.",)
            raise self.unrecorded
        if self._first:
            said = [f"Not scored: {', '.join(what)}. {reason}" for reason, what in self._reasons.items()]
            raise UnscoredError("\n".join(said)) from self._first


def evaluate_run(run: Run, which: str, request: Request, place: Place, audience: Audience) -> Scores:
    """Score checkpoints of a run (`best`, `last`, a step, or `all`) and record the scores with it.

    Raises `NotFoundError` for a checkpoint that there is not, and `UnscoredError` where no metric could be measured.
    A signal that stops the program leaves what was measured before.
    """
    place.store.check_writable()
    check_installed(run, place.store.components(run.id), Catalog.installed())
    layers = [Layer(f"run {run.id}", run.config), request.layer()]
    composition = compose(layers, Catalog.installed())
    data_root(composition.dataset, composition.config.dataset.name, request.data_dir)  # also where none look at data
    ruler = Ruler.of(composition, request, place, audience, own=run.config["metrics"])
    ruler.try_metrics()
    usual_seed = RunConfig.parse(run.config).seed
    seed = request.seed if request.seed is not None else usual_seed
    conditional = bool(run.config["conditional"])
    if request.labels is not None and not conditional:
        raise UsageError(f"Run {run.id} is unconditional and draws no classes: leave --labels out.")
    resumed = len(_resumptions(run, place))
    scores_before, steps = place.store.scores(run.id), steps_of(place.store, run, place.runs)
    before = {_measured(score) for score in scores_before}
    standing = {"best": best_step(run, scores_before, steps), "last": steps[-1]}
    outcome, other_data = Scores(), False
    with outcome.until_stopped():
        for trained in _generators(
            run, which, steps, request, place=place, audience=audience, unscored=outcome.unscored()
        ):
            ruler.check_classes(trained.class_names, f"run {run.id} is unconditional")
            if not other_data and ruler.compares and trained.data_sha256 != ruler.data.data_sha256:
                other_data = True
                audience.warn(f"The data are not those that run {run.id} was trained on.")
                ruler.check_data(trained.class_names, run.id)
            drawing = Drawing(
                trained.weights,
                request.labels or "even",
                request.truncation,
                request.standing,
                seed,
                seed != usual_seed,
            )
            how = _how_chosen(which, trained.step, standing)
            unscored = outcome.unscored(f" of step {trained.step}")
            for scored in _scores_of(trained, drawing, how, ruler, unscored):
                if _is_dropped(trained.step, run, resumed, place):
                    unscored(scored.metric, CheckpointError(_DROPPED))
                    continue
                outcome.record(scored, partial(place.store.add_score, run.id, score_of(scored)))
    outcome.check_some()
    ruler.tell_of_extraction()
    if outcome.unrecorded:
        return outcome
    if again := [scored for scored in outcome.found if _measured(scored) in before]:
        same = ", ".join(f"{scored.metric} of step {scored.step}" for scored in again)
        audience.warn(f"Scored before by the same protocol, weights and seed, and replaced: {same}.")
    place.store.add_event(run.id, Event(kind="evaluated", message=_in_words(outcome.found), step=None))
    describe_folder(place.store, run.id, place.runs / run.id, audience.warn)
    return outcome


def _is_dropped(step: int, run: Run, resumed: int, place: Place) -> bool:
    """Whether a run, as it was when it had been resumed so often, has since been resumed from before a step."""
    since = _resumptions(run, place)[resumed:]
    if (now := place.store.run(run.id).step) < run.step:  # it goes back a moment before it says so
        since.append(now)
    return any(earlier < step for earlier in since)


def _resumptions(run: Run, place: Place) -> list[int]:
    """From which steps a run was gone on with, in order: each time what came after it was dropped."""
    return [event.step for event in place.store.events(run.id) if event.kind == "resumed" and event.step is not None]


def _in_words(found: Sequence[Scored]) -> str:
    """Which steps were scored, by which metrics, and the names of the protocols that these followed."""
    steps = ", ".join(dict.fromkeys(str(scored.step) for scored in found))
    by_name: dict[object, dict[str, None]] = {}
    for scored in found:
        by_name.setdefault(scored.evidence.get("protocol name"), {})[scored.metric] = None
    parts = (
        f"{', '.join(metrics)} by {'a protocol without a name' if name is None else name}"
        for name, metrics in by_name.items()
    )
    return f"Scored after training, step {steps}: {'; '.join(parts)}."


def _scores_of(
    trained: TrainedGenerator, drawing: Drawing, how: str, ruler: Ruler, unscored: Callable[[str, Failure], None]
) -> Iterator[Scored]:
    """Scores of a checkpoint, which was chosen `how`, by every metric."""
    names = trained.class_names
    conditional = names is not None
    if drawing.standing:
        sampling.standing_statistics(
            trained.network, len(names) if names else None, seed=drawing.seed, truncation=drawing.truncation
        )
    for group in ruler.groups:
        yield from evaluation.score(
            evaluation.generated(trained.network, group.images, ruler.frequencies(names), drawing),
            group.metrics,
            ruler.extraction,
            step=trained.step,
            samples=group.images,
            class_names=names,
            real=ruler.real(group, conditional=conditional, evenly=drawing.labels == "even"),
            settings=drawing.settings(conditional=conditional),
            evidence={**drawing.evidence(conditional=conditional), "checkpoint": how},
            progress=ruler.watch(f"scoring step {trained.step}", group.images),
            unscored=unscored,
            protocol=ruler.request.protocol.name,
        )


def _generators(
    run: Run,
    which: str,
    steps: Sequence[int],
    request: Request,
    *,
    place: Place,
    audience: Audience,
    unscored: Callable[[str, Failure], None],
) -> Iterator[TrainedGenerator]:
    """The generators of the checkpoints that are meant, one after the other.

    Of `all` one may be gone meanwhile, or be damaged, of which `unscored` is told.
    """
    device, every = str(resolve_device(request.device)), which == "all"
    words = () if every else ("last", "best", "all")
    for checkpoint in map(str, steps) if every else [which]:
        try:
            yield load_generator(
                place.store, run, place.runs, checkpoint, weights=request.weights, device=device, words=words
            )
        except NotFoundError:
            if not every:
                raise
            audience.warn(f"The checkpoint of step {checkpoint} is gone: the run is being trained.")
        except CheckpointError as error:
            if not every:
                raise
            unscored(f"step {checkpoint}", error)


def _measured(score: Scored | Score) -> tuple[object, ...]:
    """What a score is of, and how it was measured: the registry keeps the last one."""
    drawn = (score.evidence.get("generator_weights"), score.evidence.get("seed"))
    return (score.step, score.metric, score.protocol, *drawn)


def _how_chosen(which: str, step: int, standing: Mapping[str, int | None]) -> str:
    """How a checkpoint was chosen: as `best`, `last`, one of `all` or a `step`, which may be one of the first two."""
    if which in standing:
        return which
    found = " and ".join(name for name, at in standing.items() if at == step)
    return ("all" if which == "all" else "step") + (f" ({found})" if found else "")
