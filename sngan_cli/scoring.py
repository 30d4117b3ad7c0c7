"""Scores of trained generators, and of anybody's pictures, after training."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

from sngan_cli.catalog import Catalog, reason_of
from sngan_cli.comparison import best_step
from sngan_cli.composition import compose, data_root
from sngan_cli.config import Layer, RunConfig
from sngan_cli.config import recipe as read_recipe
from sngan_cli.contracts import Pictures
from sngan_cli.engine import evaluation, sampling
from sngan_cli.engine.cache import DecodedPictures, prepare
from sngan_cli.engine.device import resolve_device
from sngan_cli.engine.evaluation import Drawing, Failure
from sngan_cli.errors import CheckpointError, NotFoundError, UnscoredError, UsageError
from sngan_cli.events import Scored
from sngan_cli.measuring import Audience, Request, Ruler, groups_of
from sngan_cli.paths import Place
from sngan_cli.recording import picture_score_of, score_of
from sngan_cli.run_folder import describe_folder
from sngan_cli.stopping import StopAtOnceError
from sngan_cli.trained import TrainedGenerator, check_installed, load_generator, steps_of
from sngan_cli.wording import first_of, printable
from sngan_registry import Event, PictureScore, Run, Score

_DROPPED = "The run was resumed meanwhile from a step before, and what was scored is dropped: score it again."


@dataclass
class Scores:
    """What was measured and recorded, and what could not be."""

    found: list[Scored] = field(default_factory=list)
    stopped: StopAtOnceError | None = None
    """The signal that has ended the measuring, where one has."""
    _reasons: dict[str, list[str]] = field(default_factory=dict)
    _first: Failure | None = None

    def unscored(self, of: str = "") -> Callable[[str, Failure], None]:
        """Take note of what fails: metrics, `of` a step where there are several, or a whole step."""

        def note(what: str, error: Failure) -> None:
            itself = [entry for entry in Catalog.installed().entries("metric") if entry.name == what]
            self._reasons.setdefault(reason_of(error, itself), []).append(f"{what}{of}")
            self._first = self._first or error

        return note

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
        """Raise the signal that ended the measuring, or `UnscoredError`: it names each metric, and each reason once."""
        if self.stopped:
            raise self.stopped
        if self._first:
            said = [f"Not scored: {', '.join(what)}. {reason}" for reason, what in self._reasons.items()]
            raise UnscoredError(" ".join(said)) from self._first


def evaluate_run(run: Run, which: str, request: Request, place: Place, audience: Audience) -> Scores:
    """Score checkpoints of a run (`best`, `last`, a step, or `all`) and record the scores with it.

    Raises `NotFoundError` for a checkpoint that there is not, and `UnscoredError` where no metric could be measured.
    A signal that stops the program leaves what was measured before.
    """
    place.store.check_writable()
    check_installed(run, place.store.components(run.id), Catalog.installed())
    layers = [Layer(f"run {run.id}", run.config), *_chosen(request)]
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
                place.store.add_score(run.id, score_of(scored))
                outcome.found.append(scored)
    outcome.check_some()
    ruler.tell_of_extraction()
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


def evaluate_images(
    folder: Path,
    dataset: Mapping[str, Any] | None,
    request: Request,
    place: Place,
    audience: Audience,
    *,
    size: int | None,
    name: str | None,
) -> Scores:
    """Score a folder (or archive) of pictures against a data set, and record the scores under a name.

    Without one pictures keep that under which they are recorded already, and others are called by their path, whole
    where other pictures are called by it as it was given.
    `dataset` is its name and options, or None where no metric compares. Pictures are resized to the side of the data
    set's, or else to `size`, which those of one side do without. Where they lie in one folder a class, each named as
    one of the data set's classes, metrics that look at classes do so.
    """
    place.store.check_writable()
    path = printable(str(folder))
    held_against = Layer("--images" if dataset is None else "--against", {"dataset": dataset or "folder"})
    layers = [read_recipe("paper"), held_against, *_chosen(request)]
    if dataset is None and (comparing := [name for group in groups_of(request) for name in group.comparing]):
        raise UsageError(f"{', '.join(comparing)} can only be had against real images: give --against DATASET.")
    ruler = Ruler.of(compose(layers, Catalog.installed()), request, place, audience, size=size)
    pictures = cast("Any", Catalog.installed().make("dataset", "folder", {})).open(folder, place.cache / "downloads")
    ruler.try_metrics(len(pictures))
    side = _one_side(_sides(pictures), size, path) if dataset is None else ruler.data.images.shape[1]
    made = prepare(pictures, side, place.cache / "pictures", progress=audience.decoding)
    made.tell(audience.warn)
    data = made if dataset is None else ruler.data
    sides = {made.stored.smallest, made.stored.largest} - {0}
    if dataset is None:
        _one_side(sides, size, path)  # only some of many were looked at before
    own = made.class_names or _only_folder(pictures, data)
    labels = _as_in(data, own, made.labels)
    names = None if labels is None else data.class_names
    evidence = {"pictures": path, "pictures_sha256": made.data_sha256, **_fitted(made, sides, side, audience)}
    earlier = place.store.picture_scores.of(made.data_sha256)
    others = {score.pictures for score in place.store.picture_scores.all() if score.pictures_sha256 != made.data_sha256}
    called = name or _usual_name(earlier, others, folder)
    ruler.check_classes(names, _why_unlabelled(data, own, path))
    outcome = Scores()
    with outcome.until_stopped():
        for whole in ruler.groups:
            count = min(whole.images, len(made.images))
            group = whole.fit_for(count, outcome.unscored())
            if not group.metrics:
                continue
            ruler.tell_of_fewer("pictures", count, group.images, group.metrics)
            scores = evaluation.score(
                evaluation.pictures(made.images, labels, count),
                group.metrics,
                ruler.extraction,
                step=0,
                samples=count,
                class_names=names,
                real=ruler.real(group, conditional=names is not None, evenly=False),
                settings={},
                evidence=evidence,
                progress=ruler.watch(f"scoring {path}", count),
                unscored=outcome.unscored(),
                protocol=request.protocol.name,
                resized_to=side if sides - {side} else None,
            )
            for scored in scores:
                place.store.picture_scores.add(
                    picture_score_of(
                        scored,
                        pictures=called,
                        pictures_sha256=made.data_sha256,
                        against="" if dataset is None else ruler.composition.config.dataset.name,
                    )
                )
                outcome.found.append(scored)
    outcome.check_some()
    ruler.tell_of_extraction()
    before = {(score.metric, score.protocol) for score in earlier}
    if again := [scored.metric for scored in outcome.found if (scored.metric, scored.protocol) in before]:
        audience.warn(f"Scored before by the same protocol, and replaced: {', '.join(again)}.")
    if old := {score.pictures for score in earlier} - {called}:
        place.store.picture_scores.rename(made.data_sha256, called)
        audience.warn(f"All scores of these pictures are under {called!r} now, not {_named(old)}.")
    elif name is None and called != path:
        why = "" if earlier else f", since others are called {path!r}"
        audience.warn(
            f"These pictures are recorded as {called!r}{why}, and so are their new scores: --name changes it."
        )
    if called in others and (old or not earlier):
        audience.warn(
            f"Other pictures are called {called!r}, too, and `sngan scores rm` would remove the scores of both: --name "
            "gives these a name of their own."
        )
    return outcome


def _usual_name(earlier: Sequence[PictureScore], others: Container[str], folder: Path) -> str:
    """What pictures in a folder are called, scored `earlier` or never; `others` are names of other pictures."""
    if earlier:
        return earlier[0].pictures
    path = printable(str(folder))
    return printable(str(folder.absolute())) if path in others else path


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


def _sides(pictures: Pictures) -> set[int]:
    """Sides of up to a thousand of the pictures, spread over all."""
    spread = np.linspace(0, len(pictures) - 1, min(len(pictures), 1000)).astype(int)
    return {min(size) for size in map(pictures.size, spread) if size is not None}


def _fitted(made: DecodedPictures, sides: set[int], side: int, audience: Audience) -> dict[str, str]:
    """What was done to pictures of these `sides`, as evidence, of which the audience is told."""
    evidence = {}
    if sides - {side}:
        evidence["pictures resized"] = f"{_span(sides)} px to {side} px"
        if max(sides) > side:  # of those that are enlarged it has been told
            audience.warn(f"The pictures are resized, {evidence['pictures resized']}.")
    if made.stored.cut:
        evidence["pictures cut"] = f"{made.stored.cut} of {len(made.images)}, to the square in their middle"
        audience.warn(f"Pictures are cut to the square in their middle: {made.stored.cut} of {len(made.images)}.")
    return evidence


def _one_side(sides: set[int], size: int | None, folder: str) -> int:
    """The side that is asked for, or that the pictures have; raises `UsageError` where they have several."""
    if size is not None:
        return size
    if len(sides) > 1:
        raise UsageError(
            f"The pictures in {folder} have sides of {_span(sides)} px: say with --size to which one they are brought."
        )
    return next(iter(sides), 1)  # where none can be read, which is said when they are decoded


def _span(sides: set[int]) -> str:
    return " to ".join(str(side) for side in sorted({min(sides), max(sides)}))


def _named(names: Iterable[str]) -> str:
    return ", ".join(map(repr, sorted(names)))


def _only_folder(pictures: Pictures, data: DecodedPictures) -> tuple[str, ...]:
    """The folder that all pictures lie in, where it is called as one of the data set's classes: they are of that."""
    folders = pictures.name(0).split("/")[:-1]
    return tuple(name for name in folders[-1:] if name in (data.class_names or ()))


def _as_in(data: DecodedPictures, names: Sequence[str], labels: np.ndarray) -> np.ndarray | None:
    """Labels of pictures by the data set's numbers of their classes; None where these are not all the data set's."""
    known = {name: k for k, name in enumerate(data.class_names or ())}
    if not names or not known.keys() >= set(names):
        return None
    numbers = np.array([known[name] for name in names], dtype=np.int64)
    return np.take(numbers, labels)


def _why_unlabelled(data: DecodedPictures, names: Sequence[str], folder: str) -> str:
    """Why pictures have no labels by the data set's classes, as the end of a sentence."""
    if not names:
        return f"the pictures in {folder} lie in no folders of the data's classes"
    if not data.class_names:
        return "the data of --against are unlabelled"
    others = [name for name in names if name not in data.class_names]
    return f"the folders {first_of(others)} in {folder} are none of the data's classes, {first_of(data.class_names)}"


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


def _chosen(request: Request) -> list[Layer]:
    """What the request changes of a composition."""
    values: dict[str, Any] = {"device": request.device}
    if request.extractor:
        values["extractor"] = request.extractor
    if request.data_dir is not None:
        values["data_dir"] = request.data_dir
    return [Layer("the command line", values)]
