"""Scores of trained generators, and of anybody's pictures, after training."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import numpy as np

from sngan_cli.catalog import Catalog, blaming
from sngan_cli.composition import Composition, compose, make_metrics
from sngan_cli.config import Layer, RunConfig
from sngan_cli.config import recipe as read_recipe
from sngan_cli.config.protocols import ScoringProtocol
from sngan_cli.contracts import Features, Metric
from sngan_cli.engine import evaluation, features, sampling
from sngan_cli.engine.cache import DecodedPictures, prepare
from sngan_cli.engine.device import resolve_device, set_precision
from sngan_cli.engine.evaluation import Drawing, References
from sngan_cli.engine.extraction import Extraction, Precision, try_extractor, try_metrics
from sngan_cli.errors import UsageError
from sngan_cli.events import Scored
from sngan_cli.launch import Place
from sngan_cli.recording import describe_folder, score_of
from sngan_cli.trained import load_generator, steps_of
from sngan_registry import Event, Run


class Audience(Protocol):
    """Who watches."""

    def decoding(self, done: int, total: int) -> None:
        """Show how many pictures are decoded."""

    def show(self, what: str, done: int, total: int) -> None:
        """Show how many images of `what` have been looked at."""

    def warn(self, message: str) -> None:
        """Show a warning."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be measured and how: metrics with their options, on `device`, by a named protocol.

    `extractor` (its name, options, or both) and `data_dir` are given where they are not those of the run or the data
    set itself; `precision` is the extractor's. How images are drawn is said as in `evaluation.Drawing`.
    """

    metrics: Mapping[str, Mapping[str, Any]]
    protocol: ScoringProtocol
    device: str = "auto"
    extractor: Mapping[str, Any] = field(default_factory=dict)
    data_dir: str | None = None
    weights: str | None = None
    seed: int | None = None
    labels: Literal["even", "data"] = "even"
    truncation: float | None = None
    standing: bool = False
    precision: Precision = "fp32"


@dataclass(frozen=True)
class _Group:
    """Metrics that look at the same number of images, generated and real (0: all)."""

    images: int
    real: int
    metrics: Mapping[str, Metric]


@dataclass
class _Bench:
    """What scores are computed with: the extractor, and the real images where some metric wants them."""

    composition: Composition
    request: Request
    place: Place
    audience: Audience
    extraction: Extraction
    groups: Sequence[_Group]
    size: int | None
    """Side that real images are brought to; the composition's, or the data set's own, where not given."""
    references: dict[tuple[int, int, bool], References] = field(default_factory=dict)

    @cached_property
    def data(self) -> DecodedPictures:
        """The real images, decoded."""
        with blaming(self.composition.entries["dataset"]):
            _, pictures = self.composition.open_data(self.place.cache / "downloads")
            side = self.size or self.composition.config.size or self.composition.dataset.default_side(pictures)
            return prepare(pictures, side, self.place.cache / "pictures", progress=self.audience.decoding)

    def real(self, group: _Group, *, conditional: bool) -> References:
        """Statistics of real images for a group of metrics; their features are kept from one time to the next."""
        key = (group.images, group.real, conditional)
        if key not in self.references:
            if all(metric.reference(10**9) is None for metric in group.metrics.values()):
                self.references[key] = References()
            else:
                self.references[key] = evaluation.references(
                    group.metrics,
                    self._features,
                    self.data.labels,
                    self.data.data_sha256,
                    conditional=conditional,
                    count=group.real or len(self.data.images),
                    evenly=self.request.labels == "even",
                )
        return self.references[key]

    def _features(self, chosen: np.ndarray) -> Iterator[Features]:
        watch, cache = self.watch("real images", len(chosen)), self.place.cache / "features"
        return features.of_real(self.extraction, self.data, chosen, cache=cache, progress=watch)

    def frequencies(self, names: Sequence[str] | None) -> list[float] | None:
        """How often each class is drawn, as a part: that of the data, where the request wants it."""
        if names is None:
            return None
        if self.request.labels == "even":
            return [1 / len(names)] * len(names)
        if self.data.class_names != tuple(names):
            raise UsageError(
                "The classes of the data are not those of the run, so that labels cannot be drawn as often as there: "
                "give --labels even, or with --data-dir the data that it was trained on."
            )
        return list(np.bincount(self.data.labels, minlength=len(names)) / len(self.data.labels))

    def mention_resizing(self) -> None:
        """Tell the audience where the extractor was shown another size than it was trained for."""
        if self.extraction.resized:
            self.audience.warn(
                f"The extractor was trained for another size: images are resized, {self.extraction.resized}."
            )

    def watch(self, what: str, total: int) -> Callable[[int], bool]:
        """Tell the audience of progress."""

        def progress(done: int) -> bool:
            self.audience.show(what, done, total)
            return True

        return progress


def evaluate_run(run: Run, which: str, request: Request, place: Place, audience: Audience) -> list[Scored]:
    """Score checkpoints of a run (`best`, `last`, a step, or `all`) and record the scores with it.

    Raises `NotFoundError` for a checkpoint that there is not, and `UsageError` for images too few for a metric.
    """
    layers = [Layer(f"run {run.id}", run.config), *_chosen(request)]
    bench = _bench(compose(layers, Catalog.installed()), request, place, audience, size=None)
    command = shlex.join(["sngan", "evaluate", run.id])
    wanted = [str(step) for step in steps_of(place.store, run, place.runs)] if which == "all" else [which]
    device = str(resolve_device(request.device))
    seed = request.seed if request.seed is not None else RunConfig.parse(run.config).seed
    conditional = bool(run.config["conditional"])
    _check_classes(bench.groups, conditional, f"run {run.id} is unconditional")
    found = []
    for checkpoint in wanted:
        trained = load_generator(
            place.store, run, place.runs, checkpoint, weights=request.weights, device=device, command=command
        )
        names = trained.class_names
        drawing = Drawing(trained.weights, request.labels, request.truncation, request.standing, seed)
        if request.standing:
            sampling.standing_statistics(
                trained.network, len(names) if names else None, seed=seed, truncation=request.truncation
            )
        for group in bench.groups:
            real = bench.real(group, conditional=conditional)
            if real.images and trained.data_sha256 != bench.data.data_sha256:
                audience.warn(f"The data are not those that run {run.id} was trained on.")
            scores = evaluation.score(
                evaluation.generated(trained.network, group.images, bench.frequencies(names), drawing),
                group.metrics,
                bench.extraction,
                step=trained.step,
                samples=group.images,
                class_names=names,
                real=real,
                settings=drawing.settings(conditional=conditional),
                evidence={**drawing.evidence(conditional=conditional), "checkpoint": which},
                progress=bench.watch(f"step {trained.step}", group.images),
                protocol=request.protocol.name,
            )
            for scored in scores:
                place.store.add_score(run.id, score_of(scored))
            found += scores
    bench.mention_resizing()
    told = ", ".join(dict.fromkeys(scored.metric for scored in found))
    place.store.add_event(run.id, Event(kind="evaluated", message=f"Scored after training: {told}.", step=None))
    describe_folder(place.store, run.id, place.runs / run.id, audience.warn)
    return found


def evaluate_images(
    folder: Path, dataset: Layer, request: Request, place: Place, audience: Audience, *, size: int | None
) -> list[Scored]:
    """Score a folder (or archive) of pictures against a data set. Nothing is recorded: there is no run.

    Pictures are resized to the side of the data set's. Where they lie in one folder a class, of the same names as the
    data set's classes, metrics that look at classes do so.
    """
    layers = [read_recipe("paper"), dataset, *_chosen(request)]
    bench = _bench(compose(layers, Catalog.installed()), request, place, audience, size=size)
    pictures = cast("Any", Catalog.installed().make("dataset", "folder", {})).open(folder, place.cache / "downloads")
    data = bench.data
    made = prepare(pictures, data.images.shape[1], place.cache / "pictures", progress=audience.decoding)
    names = made.class_names if made.class_names and made.class_names == data.class_names else None
    _check_classes(bench.groups, names is not None, f"{folder} has no folders that are named as the data's classes")
    found = []
    for group in bench.groups:
        count = min(group.images, len(made.images))
        for name, metric in group.metrics.items():
            metric.accumulator(count)  # says so where these are too few
            if count < group.images:
                audience.warn(f"{name}: there are {count} pictures, where the protocol has {group.images}.")
        found += evaluation.score(
            evaluation.pictures(made.images, made.labels if names else None, count),
            group.metrics,
            bench.extraction,
            step=0,
            samples=count,
            class_names=names,
            real=bench.real(group, conditional=names is not None),
            settings={},
            evidence={"pictures": str(folder), "pictures_sha256": made.data_sha256},
            progress=bench.watch(str(folder), count),
            protocol=request.protocol.name,
        )
    bench.mention_resizing()
    return found


def _chosen(request: Request) -> list[Layer]:
    """What the request changes of a composition."""
    values: dict[str, Any] = {"device": request.device}
    if request.extractor:
        values["extractor"] = request.extractor
    if request.data_dir is not None:
        values["data_dir"] = request.data_dir
    return [Layer("the command line", values)]


def _bench(composition: Composition, request: Request, place: Place, audience: Audience, *, size: int | None) -> _Bench:
    device = resolve_device(request.device)
    set_precision(request.precision, device)
    name = composition.config.extractor.name
    with blaming(composition.entries["extractor"]):
        loaded = composition.extractor.load(str(device), place.cache / "weights")
        try_extractor(loaded, name)
        groups = list(_groups(request))
        for group in groups:
            try_metrics(loaded, group.metrics.values(), group.images)
    extraction = Extraction(loaded, composition.extractor.label(name), device, request.precision)
    return _Bench(composition, request, place, audience, extraction, groups, size)


def _check_classes(groups: Sequence[_Group], conditional: bool, why: str) -> None:
    """Raise `UsageError` where a metric asks for classes and there are none."""
    for group in groups:
        for name, metric in group.metrics.items():
            if metric.needs_classes and not conditional:
                raise UsageError(f"The metric {name!r} needs classes, and {why}: leave it out.")


def _groups(request: Request) -> Iterable[_Group]:
    """Metrics by the number of images that they look at."""
    counted: list[tuple[tuple[int, int], str, dict[str, Any]]] = []
    for name, options in request.metrics.items():
        images, real, own = request.protocol.of(name)
        counted.append(((images, real), name, {**own, **options}))
    for (images, real), group in groupby(sorted(counted, key=lambda item: item[0]), key=lambda item: item[0]):
        metrics = make_metrics({name: options for _, name, options in group}, Catalog.installed())
        yield _Group(images, real, metrics)
