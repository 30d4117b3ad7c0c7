"""What scores are measured with: an extractor, metrics by a protocol, and real images to compare with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from types import MappingProxyType
from typing import Any, Literal, Protocol

import numpy as np

from sngan_cli.catalog import Catalog, blaming
from sngan_cli.composition import Composition, compares, make_metrics, own_side
from sngan_cli.config import Layer
from sngan_cli.config.protocols import ScoringProtocol
from sngan_cli.contracts import Classwise, Features, Metric
from sngan_cli.engine import evaluation, features
from sngan_cli.engine.cache import DecodedPictures, prepare
from sngan_cli.engine.device import Listener, make_ready, resolve_device
from sngan_cli.engine.evaluation import Failure, References
from sngan_cli.engine.extraction import Extraction, Precision
from sngan_cli.engine.trial import check_classes, try_extractor, try_metrics
from sngan_cli.errors import UsageError
from sngan_cli.paths import Place
from sngan_cli.wording import first_of


class Audience(Listener, Protocol):
    """Who watches."""

    def decoding(self, done: int, total: int) -> None:
        """Show how many pictures are decoded."""

    def show(self, what: str, done: int, total: int) -> None:
        """Show how many images of `what` have been looked at."""


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

    def layer(self) -> Layer:
        """What this changes of a composition."""
        values: dict[str, Any] = {"device": self.device}
        if self.extractor:
            values["extractor"] = self.extractor
        if self.data_dir is not None:
            values["data_dir"] = self.data_dir
        return Layer("the command line", values)


@dataclass(frozen=True)
class Group:
    """Metrics that look at the same number of images, generated and real (0: all)."""

    images: int
    real: int
    metrics: Mapping[str, Metric]

    @property
    def comparing(self) -> list[str]:
        """Metrics that compare with real images."""
        return [name for name, metric in self.metrics.items() if compares(metric)]

    def fit_for(self, images: int, unscored: Callable[[str, Failure], None]) -> Group:
        """The same without the metrics that so many images are too few for, of which `unscored` is told."""
        fit = {}
        for name, metric in self.metrics.items():
            try:
                metric.accumulator(images)
            except UsageError as error:
                unscored(name, error)
            else:
                fit[name] = metric
        return replace(self, metrics=fit)


@dataclass
class Ruler:
    """An extractor with metrics, and the real images where some metric wants them."""

    composition: Composition
    request: Request
    place: Place
    audience: Audience
    extraction: Extraction
    shown: Features
    """Features of two images, to try metrics with."""
    groups: Sequence[Group]
    size: int | None
    """Side that real images are brought to; the composition's, or the data set's own, where not given."""
    references: dict[tuple[int, int, bool], References] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        composition: Composition,
        request: Request,
        place: Place,
        audience: Audience,
        *,
        size: int | None = None,
        own: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    ) -> Ruler:
        """Set up what is wanted; `own` are options of metrics that hold where neither request nor protocol has others.

        Raises `UsageError` or `ComponentError` where extractor and metrics cannot be used.
        """
        device = resolve_device(request.device)
        make_ready(device, request.precision, audience)
        name = composition.config.extractor.name
        loaded = composition.load_extractor(str(device), place.cache / "weights")
        with blaming(composition.entries["extractor"]):
            shown = try_extractor(loaded, name)
        groups = list(groups_of(request, own))
        extraction = Extraction.of(composition, loaded, device, request.precision)
        return cls(composition, request, place, audience, extraction, shown, groups, size)

    def try_metrics(self, pictures: int | None = None) -> None:
        """Raise `UsageError` where a metric cannot do with the extractor's features, or with so few images.

        Where these are `pictures` that are there, not drawn, metrics that want more of them are left to `fit_for`.
        """
        for group in self.groups:
            images = group.images if pictures is None else min(group.images, pictures)
            tried = group if pictures is None else group.fit_for(images, lambda *_: None)
            try_metrics(tried.metrics, self.shown, images)

    @cached_property
    def data(self) -> DecodedPictures:
        """The real images, decoded."""
        with blaming(self.composition.entries["dataset"]):
            _, pictures = self.composition.open_data(self.place.cache / "downloads")
            config = self.composition.config
            side = self.size or config.size or own_side(self.composition.dataset, config.dataset.name, pictures)
            made = prepare(pictures, side, self.place.cache / "pictures", progress=self.audience.decoding)
        made.tell(self.audience.warn)
        return made

    @property
    def compares(self) -> bool:
        """Whether some metric compares with real images."""
        return any(group.comparing for group in self.groups)

    def real(self, group: Group, *, conditional: bool, evenly: bool) -> References:
        """Statistics of real images for a group of metrics; their features are kept from one time to the next.

        `evenly`: as many are looked at of each class, as with images that are drawn so.
        """
        if not group.comparing:
            return References()
        key = (group.images, group.real, conditional)
        if key in self.references:
            return self.references[key]
        found = evaluation.references(
            group.metrics,
            self._features,
            self.data.labels,
            self.data.data_sha256,
            conditional=conditional,
            count=group.real or len(self.data.images),
            evenly=evenly,
        )
        if found.statistics:
            self.tell_of_fewer("real images", found.images, group.real, found.statistics)
        if not found.failed:  # what has failed once may succeed the next time
            self.references[key] = found
        return found

    def _features(self, chosen: np.ndarray) -> Iterator[Features]:
        watch, cache = self.watch("measuring real images", len(chosen)), self.place.cache / "features"
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
        """Raise `UsageError` where metrics need classes and there are none, because of `why`, or others."""
        metrics = {name: metric for group in self.groups for name, metric in group.metrics.items()}
        check_classes(self.extraction.loaded, metrics, self.shown, class_names, why)

    def check_data(self, class_names: Sequence[str] | None, run_id: str) -> None:
        """Raise `UsageError` where metrics would compare classes of a run with others of the data."""
        if class_names is None or not self.compares or self.data.class_names == tuple(class_names):
            return
        by_class = [
            name
            for group in self.groups
            for name in group.comparing
            if isinstance(group.metrics[name].accumulator(group.images), Classwise)
        ]
        if by_class:
            others = "none" if self.data.class_names is None else first_of(self.data.class_names)
            raise UsageError(
                f"{', '.join(by_class)} cannot be had: classes are compared one by one, those of run {run_id} are "
                f"{first_of(class_names)}, and those of the data {others}. Leave them out of --metric, or give with "
                "--data-dir the data that it was trained on."
            )

    def tell_of_fewer(self, what: str, count: int, wanted: int, metrics: Iterable[str]) -> None:
        """Tell the audience where there are fewer of them than the protocol has for these metrics."""
        if count < wanted:
            told, name = ", ".join(metrics), self.request.protocol.name
            self.audience.warn(f"{told}: {count} {what}, where {name} has {wanted}.")

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


def groups_of(request: Request, own: Mapping[str, Mapping[str, Any]] = MappingProxyType({})) -> Iterator[Group]:
    """Metrics by the number of images that they look at."""
    counted: list[tuple[tuple[int, int], str, dict[str, Any]]] = []
    for name, options in request.metrics.items():
        images, real, of_protocol = request.protocol.of(name)
        counted.append(((images, real), name, {**own.get(name, {}), **of_protocol, **options}))
    for (images, real), group in groupby(sorted(counted, key=lambda item: item[0]), key=lambda item: item[0]):
        metrics = make_metrics({name: options for _, name, options in group}, Catalog.installed())
        yield Group(images, real, metrics)
