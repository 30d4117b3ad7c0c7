"""Scores of a generator, each with the evidence that it rests on."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from numbers import Integral, Real
from typing import Literal, NoReturn, TypeVar, cast
from weakref import ref

import numpy as np
import torch
from torch import nn

from sngan_cli.catalog import third_party
from sngan_cli.config.protocols import name_of
from sngan_cli.contracts import Accumulator, Classwise, Comparison, Features, Metric, Reference, Remarking
from sngan_cli.engine import features, sampling
from sngan_cli.engine.data import derived_seed
from sngan_cli.engine.extraction import Extraction
from sngan_cli.errors import ComponentError
from sngan_cli.events import Scored
from sngan_cli.wording import escaped, printable, shortened

T = TypeVar("T")
R = TypeVar("R")
Failure = Exception | SystemExit
"""What a metric may raise: one that ends the program has failed, too."""

_NOT_A_METRICS = {"n", "images", "real", "classes", "side", "precision", "labels", "truncation", "seed"}
"""What a protocol says beside a metric's settings."""


class SpoiltFeaturesError(ComponentError):
    """A metric has changed the features that it was shown, which other metrics and caches have, too."""


@dataclass(frozen=True)
class References:
    """What metrics made of `images` real images of a data set, by metric."""

    images: int = 0
    data_images: int = 0
    """How many images the data set has."""
    data_sha256: str = ""
    chosen: Literal["all", "evenly", "as in the data"] = "all"
    """How they were chosen: evenly from the classes of data that have not as many of each, or as often as there."""
    statistics: Mapping[str, Mapping[str, torch.Tensor]] = field(default_factory=dict)
    failed: Mapping[str, Failure] = field(default_factory=dict)
    """Metrics that could make nothing of them, and why."""

    @property
    def whole(self) -> bool:
        """Whether these are all images of the data set."""
        return self.images == self.data_images


@dataclass(frozen=True)
class Drawing:
    """How images are drawn from a generator for a score.

    `weights` are those of G that are given: raw or averaged. `labels` are spread over the classes evenly, or drawn at
    random as often as the data have them. `truncation` is the largest absolute value in a latent (Brock et al., 2019,
    section 3.1). `standing`: batch norms have the statistics of `sampling.standing_statistics`. `other_seed`: the seed
    is not that of the run, which makes a protocol of its own, lest the best of many draws stand for the run.
    """

    weights: str = "raw"
    labels: Literal["even", "data"] = "even"
    truncation: float | None = None
    standing: bool = False
    seed: int = 0
    other_seed: bool = False

    def settings(self, *, conditional: bool) -> dict[str, int | float | str]:
        """What makes scores incomparable with those of images that are drawn as usual."""
        found: dict[str, int | float | str] = {}
        if conditional and self.labels != "even":
            found["labels"] = self.labels
        if self.truncation is not None:
            found["truncation"] = self.truncation
        if self.other_seed:
            found["seed"] = self.seed
        return found

    def evidence(self, *, conditional: bool) -> dict[str, str | int | float]:
        """What a score rests on, as far as it is this."""
        return {
            "generator_weights": self.weights + (", standing statistics" if self.standing else ""),
            "labels": self.labels if conditional else "none",
            "truncation": "none" if self.truncation is None else self.truncation,
            "seed": self.seed,
        }


def references(
    metrics: Mapping[str, Metric],
    features_of: Callable[[np.ndarray], Iterator[Features]],
    labels: np.ndarray,
    data_sha256: str,
    *,
    conditional: bool,
    count: int,
    evenly: bool = True,
) -> References:
    """Measure `count` real images (all, where there are fewer) for every metric that compares with some.

    `labels` (N,) are those of the data, whose content `data_sha256` names; unless `conditional` all images count as one
    class. Where images are generated `evenly` for all classes, real ones are chosen evenly, too, as far as they go;
    otherwise at random. Data that have as many images of each class are always chosen from evenly. `features_of` gives
    the features of chosen images, in order.
    """
    count = min(count, len(labels))
    failed: dict[str, Failure] = {}
    made = _each(metrics, lambda _, metric: metric.reference(count), failed)
    started = {name: reference for name, reference in made.items() if reference is not None}
    if not started:
        return References(failed=failed)
    balanced = len(set(np.unique(labels, return_counts=True)[1])) == 1
    by_class = balanced or (conditional and evenly)
    chosen = _evenly(labels, count) if by_class else _shuffled(len(labels))[:count]
    seen, shown = 0, Shown()
    for found in features_of(chosen):
        y = torch.from_numpy(labels[chosen[seen : seen + len(found.pooled)]]) if conditional else None
        seen += len(found.pooled)
        given = replace(found, labels=y)
        shown.watch(given)
        _each(started, partial(show, given), failed)
    how: Literal["all", "evenly", "as in the data"] = "as in the data"
    if count == len(labels):
        how = "all"
    elif by_class and not balanced:
        how = "evenly"

    def finished(name: str, reference: Reference) -> Mapping[str, torch.Tensor]:
        statistics = reference.result()
        shown.check(name)
        return statistics

    statistics = _each(started, finished, failed)
    return References(count, len(labels), data_sha256, how, statistics, failed)


def generated(
    generator: nn.Module, samples: int, frequencies: Sequence[float] | None, drawing: Drawing
) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
    """Draw `samples` uint8 images (N, 3, H, W) and their labels, batch by batch.

    `frequencies` (K,) are those of the classes in the data, None where the generator is unconditional.
    """
    z = sampling.latents(generator, samples, drawing.seed, "scores", drawing.truncation)
    y = None
    if frequencies is not None:
        y = sampling.labels(samples, len(frequencies), frequencies if drawing.labels == "data" else None, drawing.seed)
    for start in range(0, samples, sampling.BATCH):
        part = slice(start, start + sampling.BATCH)
        labels = None if y is None else y[part]
        yield sampling.images(generator, z[part], labels, seed=derived_seed(drawing.seed, f"image {start}")), labels


def pictures(
    images: np.ndarray, labels: np.ndarray | None, count: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
    """Take `count` of images (N, side, side, 3) uint8 and their labels (N,), at random, in batches.

    Which these are, and their order, by which splits are made, does not depend on labels: a metric that does not look
    at classes says the same whether they are known or not.
    """
    chosen = _shuffled(len(images))[:count]
    for index, batch in features.batches(images, chosen):
        yield batch, None if labels is None else torch.from_numpy(labels[index])


def _raised(metric: str, error: Failure) -> NoReturn:
    raise error


def score(
    batches: Iterable[tuple[torch.Tensor, torch.Tensor | None]],
    metrics: Mapping[str, Metric],
    extraction: Extraction,
    *,
    step: int,
    samples: int,
    class_names: Sequence[str] | None,
    real: References,
    settings: Mapping[str, int | float | str],
    evidence: Mapping[str, str | int | float],
    progress: Callable[[int], bool],
    unscored: Callable[[str, Failure], None] = _raised,
    protocol: str | None = None,
    resized_to: int | None = None,
) -> Iterator[Scored]:
    """Score `samples` images, uint8 (N, 3, H, W) and labels (N,) in batches, by one metric after the other.

    `settings` and `evidence` say how the images were made: what makes scores of them incomparable with others, and
    everything. A score names the protocol that it follows, `protocol` where it is one of several. `resized_to` is the
    side that images were brought to, if they had another: scores against real images say by these, which have it too,
    to which. `progress` is told how many are done, and answers whether to go on. A metric that fails costs the others
    nothing: `unscored` is told, which by default raises the error.
    """
    failed = dict(real.failed)
    accumulators: dict[str, Accumulator] = _each(metrics, lambda _, metric: metric.accumulator(samples), failed)
    done, shown = 0, Shown()
    for images, y in batches:
        if not accumulators.keys() - failed.keys():
            break
        found = replace(extraction(images), labels=y)
        shown.watch(found)
        _each(accumulators, partial(show, found), failed)
        done += len(images)
        if not progress(done):
            raise features.ScoringStoppedError

    def finished(name: str, accumulator: Accumulator) -> Scored:
        metric, is_compared = metrics[name], name in real.statistics
        of_metric, unusual = settings_of(name, metric), {**extraction.settings(), **settings}
        if resized_to is not None and not is_compared:
            unusual["side"] = resized_to
        of_real, real_evidence = _held_against(real, name, accumulator) if is_compared else ({}, {})
        value, std = _checked(name, accumulator.result())
        of_classes, class_evidence = _by_class(name, accumulator, class_names)
        is_usual = not unusual.keys() - {"seed"}
        compared = real.images if is_compared else None
        named = name_of(name, metric, samples, compared, whole=real.whole, preferred=protocol) if is_usual else None
        more: dict[str, str] = {}
        same = is_compared and evidence.get("pictures_sha256") == real.data_sha256
        remarks = (
            "these are the very pictures that they are compared with" if same else None,
            *extraction.remarks(class_names),
            accumulator.remark() if isinstance(accumulator, Remarking) else None,
        )
        if said := "; ".join(filter(None, remarks)):
            more["remark"] = printable(said)
        if supplier := third_party("metric", name):
            more["metric_package"] = supplier
        shown.check(name)
        return Scored(
            step=step,
            metric=name,
            value=value,
            std=std,
            higher_is_better=metric.higher_is_better,
            protocol=_protocol(extraction.label, samples, {**of_metric, **unusual, **of_real, **of_classes}),
            evidence={
                **extraction.evidence(),
                **({} if named is None else {"protocol name": named}),
                "images": samples,
                **of_metric,
                **real_evidence,
                **evidence,
                "sngan": version("sngan"),
                "torch": torch.__version__,
                **class_evidence,
                **more,
            },
        )

    for name, accumulator in accumulators.items():
        yield from _each({name: accumulator}, finished, failed).values()
    for name, error in failed.items():
        unscored(name, error)


def _each(what: Mapping[str, T], do: Callable[[str, T], R], failed: dict[str, Failure]) -> dict[str, R]:
    """Do something for each metric, and return the results; those that fail go to `failed`, and are left out later."""
    done = {}
    for name, one in what.items():
        if name not in failed:
            try:
                done[name] = do(name, one)
            except SpoiltFeaturesError:
                raise
            except (Exception, SystemExit) as error:
                failed[name] = error
    return done


def show(given: Features, metric: str, to: Accumulator | Reference) -> None:
    """Show features to a metric; raises `SpoiltFeaturesError` where it changes them."""
    shown = Shown()
    shown.watch(given)
    to.add(given)
    shown.check(metric)


class Shown:
    """Features that metrics are shown. Some keep them: those that anybody has still must be as they were."""

    def __init__(self) -> None:
        self._seen: list[tuple[ref[torch.Tensor], int]] = []

    def watch(self, given: Features) -> None:
        """Take note of features before they are shown; those made in inference mode torch keeps from being changed."""
        parts = [part for part in (given.pooled, given.logits, given.labels) if part is not None]
        self._seen += [(ref(part), part._version) for part in parts if not part.is_inference()]

    def check(self, metric: str) -> None:
        """Raise `SpoiltFeaturesError` where some were changed in place, by this metric."""
        if any((part := seen()) is not None and part._version != before for seen, before in self._seen):
            raise SpoiltFeaturesError(
                f"The metric {metric!r} changes the features that it is shown, by which other metrics would be wrong: "
                "it must copy them first. Leave it out, and tell its author."
            )


def _checked(name: str, result: object) -> tuple[float, float | None]:
    """A metric's result; raises `ComponentError` where it is no number with a standard deviation or None."""
    match result:
        case (Real() as value, None):
            return float(value), None
        case (Real() as value, Real() as std) if not std < 0:
            return float(value), float(std)
    given = shortened(repr(result))
    raise ComponentError(
        f"The metric {name!r} gives {given}, not a number and its standard deviation or None. Tell its author."
    )


def settings_of(name: str, metric: Metric) -> dict[str, int | float | str]:
    """What a metric adds to a protocol; raises `ComponentError` where that is no numbers and texts of its own."""
    found: dict[str, int | float | str] = {}
    for key, value in cast("Mapping[str, object]", metric.protocol()).items():
        if key in _NOT_A_METRICS:
            raise ComponentError(
                f"The metric {name!r} calls a setting {key!r}, as sngan calls its own. Tell its author."
            )
        match value:
            case bool():
                found[key] = value
            case Integral():
                found[key] = int(value)
            case Real():
                found[key] = float(value)
            case str():
                found[key] = printable(value)
            case _:
                given = shortened(repr(value))
                raise ComponentError(
                    f"The setting {key!r} of the metric {name!r} is {given}, no number or text. Tell its author."
                )
    return found


def _held_against(real: References, name: str, accumulator: Accumulator) -> tuple[dict[str, str], dict[str, str | int]]:
    """Give a metric what it made of real images; returns what these add to protocol and evidence."""
    cast("Comparison", accumulator).against(real.statistics[name])
    how = "/evenly" if real.chosen == "evenly" else ""
    return {"real": f"{real.images}@{real.data_sha256[:8]}{how}"}, {
        "real": real.images,
        "data_images": real.data_images,
        "real_sha256": real.data_sha256,
        "real_chosen": real.chosen,
    }


def _by_class(
    name: str, accumulator: Accumulator, class_names: Sequence[str] | None
) -> tuple[dict[str, str], dict[str, Mapping[str, float]]]:
    """What a metric that looks at classes adds to protocol and evidence: whether it saw all, and its finite values.

    Raises `ComponentError` where these are no numbers.
    """
    if not isinstance(accumulator, Classwise):
        return {}, {}
    if class_names is None:
        return {"classes": "one"}, {}
    found = {}
    for class_, value in zip(class_names, cast("Sequence[object]", accumulator.per_class()), strict=False):
        if not isinstance(value, Real):
            given = shortened(repr(value))
            raise ComponentError(f"The metric {name!r} gives {given} for {class_!r}, no number. Tell its author.")
        if math.isfinite(value):
            found[class_] = float(value)
    if len(found) == len(class_names):
        return {}, {"classes": found}
    which = hashlib.sha256("\0".join(sorted(found)).encode()).hexdigest()
    return {"classes": f"{len(found)}of{len(class_names)}@{which[:4]}"}, {"classes": found}


def _shuffled(count: int) -> np.ndarray:
    """So many indices in an order that is the same every time."""
    return np.random.default_rng(0).permutation(count)


def _evenly(labels: np.ndarray, count: int) -> np.ndarray:
    """Choose `count` indices at random, as many of each class as there are, in rounds of one a class."""
    order = _shuffled(len(labels))
    rounds = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        of_class = order[labels[order] == label]
        rounds[of_class] = np.arange(len(of_class))
    return order[np.argsort(rounds[order], kind="stable")][:count]


def _protocol(extractor: str, images: int, settings: Mapping[str, object]) -> str:
    """Identity of a way of measuring: values under different ones are not to be compared.

    It is a line of words: spaces within a text are written in percent.
    """
    words = (f"{key}={escaped(str(value), '%')}" for key, value in sorted(settings.items()))
    return " ".join([extractor, f"n={images}", *words])
