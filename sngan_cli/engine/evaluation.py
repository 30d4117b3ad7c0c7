"""Scores of a generator, each with the evidence that it rests on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import cast

import numpy as np
import torch
from torch import nn

from sngan_cli.contracts import Classwise, Comparison, Features, LoadedExtractor, Metric, Remarking
from sngan_cli.engine import features, sampling
from sngan_cli.errors import ComponentError
from sngan_cli.events import Scored


@dataclass(frozen=True)
class References:
    """What metrics made of `images` real images, by metric."""

    images: int
    statistics: Mapping[str, Mapping[str, torch.Tensor]]


def try_extractor(extractor: LoadedExtractor, name: str) -> None:
    """Show two images to an extractor; raises `ComponentError` where it gives no features of them."""
    with torch.no_grad():
        found = extractor(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))
    shapes = [getattr(getattr(found, part, None), "shape", None) for part in ("pooled", "logits")]
    if not all(shape is not None and len(shape) == 2 and shape[0] == 2 for shape in shapes):
        raise ComponentError(f"{name!r} gives {type(found).__name__} of shapes {shapes}, not Features of two images.")
    if not isinstance(getattr(extractor, "weights_sha256", None), str):
        raise ComponentError(f"{name!r} has no attribute weights_sha256 (a str), which tells its scores from others.")


def references(
    metrics: Mapping[str, Metric],
    features_of: Callable[[np.ndarray], Iterator[Features]],
    labels: np.ndarray,
    *,
    conditional: bool,
    count: int,
) -> References:
    """Measure `count` real images (all, where there are fewer) for every metric that compares with some.

    `labels` (N,) are those of the data; unless `conditional` all images count as one class. Which images are taken
    depends on the data alone: evenly from all classes, as far as these go. `features_of` gives the features of chosen
    ones, in order.
    """
    count = min(count, len(labels))
    made = {name: metric.reference(count) for name, metric in metrics.items()}
    started = {name: reference for name, reference in made.items() if reference is not None}
    if not started:
        return References(0, {})
    chosen = _evenly(labels if conditional else np.zeros_like(labels), count)
    seen = 0
    for found in features_of(chosen):
        y = torch.from_numpy(labels[chosen[seen : seen + len(found.pooled)]]) if conditional else None
        seen += len(found.pooled)
        for reference in started.values():
            reference.add(replace(found, labels=y))
    return References(count, {name: reference.result() for name, reference in started.items()})


def generated(
    generator: nn.Module, samples: int, classes: int | None, seed: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
    """Draw `samples` uint8 images (N, 3, H, W) and their labels (evenly over the classes), batch by batch.

    No random state outside is touched.
    """
    z = sampling.latents(generator, samples, seed, "scores")
    y = None if classes is None else torch.arange(samples) % classes
    for start in range(0, samples, sampling.BATCH):
        part = slice(start, start + sampling.BATCH)
        labels = None if y is None else y[part]
        with torch.random.fork_rng():
            yield sampling.images(generator, z[part], labels), labels


def pictures(
    images: np.ndarray, labels: np.ndarray | None, count: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
    """Take `count` of images (N, side, side, 3) uint8 and their labels (N,), evenly from all classes, in batches."""
    chosen = _evenly(np.zeros(len(images), dtype=np.int64) if labels is None else labels, count)
    for index, batch in features.batches(images, chosen):
        yield batch, None if labels is None else torch.from_numpy(labels[index])


def origin(weights: str, class_names: Sequence[str] | None, seed: int) -> dict[str, str | int]:
    """The evidence of a score that tells how its images were drawn."""
    return {"generator_weights": weights, "labels": "none" if class_names is None else "even", "seed": seed}


def score(
    batches: Iterable[tuple[torch.Tensor, torch.Tensor | None]],
    metrics: Mapping[str, Metric],
    extractor: LoadedExtractor,
    extractor_name: str,
    *,
    step: int,
    samples: int,
    class_names: Sequence[str] | None,
    real: References,
    evidence: Mapping[str, str | int],
    progress: Callable[[int], bool],
) -> list[Scored]:
    """Score `samples` images, uint8 (N, 3, H, W) and labels (N,) in batches, by every metric.

    `evidence` says where the images come from. `progress` is told how many are done, and answers whether to go on.
    """
    accumulators = {name: metric.accumulator(samples) for name, metric in metrics.items()}
    done = 0
    for images, y in batches:
        with torch.no_grad():
            seen = replace(extractor(images), labels=y)
        for accumulator in accumulators.values():
            accumulator.add(seen)
        done += len(images)
        if not progress(done):
            raise features.ScoringStoppedError
    digest = extractor.weights_sha256
    found = []
    for name, metric in metrics.items():
        accumulator = accumulators[name]
        settings: dict[str, int | float | str] = {**metric.protocol()}
        if name in real.statistics:
            cast("Comparison", accumulator).against(real.statistics[name])
            settings["real"] = real.images
        value, std = accumulator.result()
        more: dict[str, str | Mapping[str, float]] = {}
        if isinstance(accumulator, Remarking) and (remark := accumulator.remark()):
            more["remark"] = remark
        if class_names is not None and isinstance(accumulator, Classwise):
            values = zip(class_names, accumulator.per_class(), strict=False)
            more["classes"] = {class_: value for class_, value in values if math.isfinite(value)}
        found.append(
            Scored(
                step=step,
                metric=name,
                value=value,
                std=std,
                higher_is_better=metric.higher_is_better,
                protocol=_protocol(extractor_name, digest, samples, settings),
                evidence={
                    "extractor": extractor_name,
                    "weights_sha256": digest,
                    "images": samples,
                    **settings,
                    **evidence,
                    "sngan": version("sngan"),
                    "torch": torch.__version__,
                    **more,
                },
            )
        )
    return found


def _evenly(labels: np.ndarray, count: int) -> np.ndarray:
    """Choose `count` indices at random, as many of each class as there are, in rounds of one a class.

    Their order is that of the rounds: any part of them, such as a split of the Inception Score, has all classes.
    """
    order = np.random.default_rng(0).permutation(len(labels))
    rounds = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        of_class = order[labels[order] == label]
        rounds[of_class] = np.arange(len(of_class))
    return order[np.argsort(rounds[order], kind="stable")][:count]


def _protocol(extractor: str, digest: str, images: int, settings: Mapping[str, object]) -> str:
    """Identity of a way of measuring: values under different ones are not to be compared."""
    return " ".join([f"{extractor}@{digest[:8]}", f"n={images}", *(f"{k}={v}" for k, v in sorted(settings.items()))])
