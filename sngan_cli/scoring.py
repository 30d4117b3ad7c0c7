"""Scores of trained generators, and of anybody's pictures, after training."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
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
from sngan_cli.engine.extraction import Extraction, Precision, check_classes, try_extractor, try_metrics
from sngan_cli.errors import NotFoundError, UsageError
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
    labels: Literal["even", "data"] | None = None
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
            made = prepare(pictures, side, self.place.cache / "pictures", progress=self.audience.decoding)
        _warn_of_skipped(made, self.audience)
        return made

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
                    evenly=self.request.labels != "data",
                )
                if self.references[key].images < group.real:
                    told, count = ", ".join(self.references[key].statistics), self.references[key].images
                    name = self.request.protocol.name
                    self.audience.warn(f"{told}: real images are {count}, where {name} has {group.real}.")
        return self.references[key]

    def _features(self, chosen: np.ndarray) -> Iterator[Features]:
        watch, cache = self.watch("real images", len(chosen)), self.place.cache / "features"
        return features.of_real(self.extraction, self.data, chosen, cache=cache, progress=watch)

    def frequencies(self, names: Sequence[str] | None) -> list[float] | None:
        """How often each class is drawn, as a part: that of the data, where the request wants it."""
        if names is None:
            return None
        if self.request.labels != "data":
            return [1 / len(names)] * len(names)
        if self.data.class_names != tuple(names):
            raise UsageError(
                "The classes of the data are not those of the run, so that labels cannot be drawn as often as there: "
                "give --labels even, or with --data-dir the data that it was trained on."
            )
        return list(np.bincount(self.data.labels, minlength=len(names)) / len(self.data.labels))

    def check_classes(self, class_names: Sequence[str] | None, why: str) -> None:
        """Raise `UsageError` where a metric needs classes and there are none, because of `why`, or others."""
        for group in self.groups:
            check_classes(self.extraction.loaded, group.metrics, class_names, why)

    def tell_of_extraction(self) -> None:
        """Tell the audience what the extractor did to images and features."""
        resized, difference = self.extraction.resized, self.extraction.difference
        if resized is not None:
            self.audience.warn(f"The extractor was trained for another size: images are resized, {resized}.")
        if difference is not None:
            self.audience.warn(f"Features in bf16 are {difference:.2%} off those in fp32 (of their norm).")

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
    bench = _bench(compose(layers, Catalog.installed()), request, place, audience, own=run.config["metrics"])
    command = shlex.join(["sngan", "evaluate", run.id])
    wanted = [str(step) for step in steps_of(place.store, run, place.runs)] if which == "all" else [which]
    device = str(resolve_device(request.device))
    seed = request.seed if request.seed is not None else RunConfig.parse(run.config).seed
    conditional = bool(run.config["conditional"])
    if request.labels is not None and not conditional:
        raise UsageError(f"Run {run.id} is unconditional and draws no classes: leave --labels out.")
    found = []
    for checkpoint in wanted:
        try:
            trained = load_generator(
                place.store, run, place.runs, checkpoint, weights=request.weights, device=device, command=command
            )
        except NotFoundError:
            if which != "all":
                raise
            audience.warn(f"The checkpoint of step {checkpoint} is gone: the run is being trained.")
            continue
        names = trained.class_names
        bench.check_classes(names, f"run {run.id} is unconditional")
        drawing = Drawing(trained.weights, request.labels or "even", request.truncation, request.standing, seed)
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
                evidence={**drawing.evidence(conditional=conditional), "checkpoint": _how_chosen(which)},
                progress=bench.watch(f"step {trained.step}", group.images),
                protocol=request.protocol.name,
            )
            for scored in scores:
                place.store.add_score(run.id, score_of(scored))
            found += scores
    bench.tell_of_extraction()
    metrics = ", ".join(dict.fromkeys(scored.metric for scored in found))
    steps = ", ".join(dict.fromkeys(str(scored.step) for scored in found))
    message = f"Scored after training by {request.protocol.name}, step {steps}: {metrics}."
    place.store.add_event(run.id, Event(kind="evaluated", message=message, step=None))
    describe_folder(place.store, run.id, place.runs / run.id, audience.warn)
    return found


def evaluate_images(
    folder: Path, dataset: Layer, request: Request, place: Place, audience: Audience, *, size: int | None
) -> list[Scored]:
    """Score a folder (or archive) of pictures against a data set. Nothing is recorded: there is no run.

    Pictures are resized to the side of the data set's. Where they lie in one folder a class, each named as one of the
    data set's classes, metrics that look at classes do so.
    """
    if not folder.expanduser().exists():
        raise UsageError(f"--images {folder}: there is no such folder or archive.")
    layers = [read_recipe("paper"), dataset, *_chosen(request)]
    bench = _bench(compose(layers, Catalog.installed()), request, place, audience, size=size)
    pictures = cast("Any", Catalog.installed().make("dataset", "folder", {})).open(folder, place.cache / "downloads")
    data = bench.data
    made = prepare(pictures, data.images.shape[1], place.cache / "pictures", progress=audience.decoding)
    _warn_of_skipped(made, audience)
    labels = _as_in(data, made)
    names = None if labels is None else data.class_names
    bench.check_classes(names, f"{folder} has no folders that are named as the data's classes")
    found = []
    for group in bench.groups:
        count = min(group.images, len(made.images))
        for metric in group.metrics.values():
            metric.accumulator(count)  # says so where these are too few
        if count < group.images:
            told = ", ".join(group.metrics)
            audience.warn(f"{told}: pictures are {count}, where {request.protocol.name} has {group.images}.")
        found += evaluation.score(
            evaluation.pictures(made.images, labels, count),
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
    bench.tell_of_extraction()
    return found


def _as_in(data: DecodedPictures, made: DecodedPictures) -> np.ndarray | None:
    """Labels of pictures by the data set's numbers of their classes; None where these are not all the data set's."""
    known = {name: k for k, name in enumerate(data.class_names or ())}
    if not made.class_names or not known.keys() >= set(made.class_names):
        return None
    numbers = np.array([known[name] for name in made.class_names], dtype=np.int64)
    return np.take(numbers, made.labels)


def _how_chosen(which: str) -> str:
    """How a checkpoint was chosen: `best`, `last`, `all`, or as a step of its own."""
    return which if which in ("best", "last", "all") else "step"


def _warn_of_skipped(data: DecodedPictures, audience: Audience) -> None:
    if data.skipped:
        name, reason = data.skipped[0]
        audience.warn(f"Pictures that cannot be read are left out, {len(data.skipped)} in all: {name} ({reason}).")


def _chosen(request: Request) -> list[Layer]:
    """What the request changes of a composition."""
    values: dict[str, Any] = {"device": request.device}
    if request.extractor:
        values["extractor"] = request.extractor
    if request.data_dir is not None:
        values["data_dir"] = request.data_dir
    return [Layer("the command line", values)]


def _bench(
    composition: Composition,
    request: Request,
    place: Place,
    audience: Audience,
    *,
    size: int | None = None,
    own: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> _Bench:
    """Set up what is wanted; `own` are options of metrics that hold where neither request nor protocol has others."""
    device = resolve_device(request.device)
    set_precision(request.precision, device)
    name = composition.config.extractor.name
    with blaming(composition.entries["extractor"]):
        loaded = composition.extractor.load(str(device), place.cache / "weights")
        try_extractor(loaded, name)
        groups = list(_groups(request, own))
        for group in groups:
            try_metrics(loaded, group.metrics.values(), group.images)
    extraction = Extraction(loaded, composition.extractor.label(name), device, request.precision)
    return _Bench(composition, request, place, audience, extraction, groups, size)


def _groups(request: Request, own: Mapping[str, Mapping[str, Any]]) -> Iterable[_Group]:
    """Metrics by the number of images that they look at."""
    counted: list[tuple[tuple[int, int], str, dict[str, Any]]] = []
    for name, options in request.metrics.items():
        images, real, of_protocol = request.protocol.of(name)
        counted.append(((images, real), name, {**own.get(name, {}), **of_protocol, **options}))
    for (images, real), group in groupby(sorted(counted, key=lambda item: item[0]), key=lambda item: item[0]):
        metrics = make_metrics({name: options for _, name, options in group}, Catalog.installed())
        yield _Group(images, real, metrics)
