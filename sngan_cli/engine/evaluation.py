"""Scores of a generator, each with the evidence that it rests on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version

import torch
from torch import nn

from sngan_cli.contracts import LoadedExtractor, Metric
from sngan_cli.engine import sampling
from sngan_cli.errors import ComponentError
from sngan_cli.events import Scored


class ScoringStoppedError(Exception):
    """A score was given up because the run was asked to stop."""


def try_extractor(extractor: LoadedExtractor, name: str) -> None:
    """Show two images to an extractor; raises `ComponentError` where it gives no features of them."""
    with torch.no_grad():
        found = extractor(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))
    shapes = [getattr(getattr(found, part, None), "shape", None) for part in ("pooled", "logits")]
    if not all(shape is not None and len(shape) == 2 and shape[0] == 2 for shape in shapes):
        raise ComponentError(f"{name!r} gives {type(found).__name__} of shapes {shapes}, not Features of two images.")
    if not isinstance(getattr(extractor, "weights_sha256", None), str):
        raise ComponentError(f"{name!r} has no attribute weights_sha256 (a str), which tells its scores from others.")


def score(
    generator: nn.Module,
    metrics: Mapping[str, Metric],
    extractor: LoadedExtractor,
    extractor_name: str,
    *,
    step: int,
    samples: int,
    classes: int | None,
    seed: int,
    weights: str,
    progress: Callable[[int], bool],
) -> list[Scored]:
    """Draw `samples` images, labels evenly over the classes, and score them by every metric.

    `progress` is told how many images are done, and answers whether to go on. No random state outside is touched.
    """
    accumulators = {name: metric.accumulator(samples) for name, metric in metrics.items()}
    with torch.random.fork_rng(), torch.no_grad():
        done = 0
        for batch in _generated(generator, samples, classes, seed):
            features = extractor(batch)
            for accumulator in accumulators.values():
                accumulator.add(features)
            done += len(batch)
            if not progress(done):
                raise ScoringStoppedError
    digest = extractor.weights_sha256
    found = []
    for name, metric in metrics.items():
        value, std = accumulators[name].result()
        settings = metric.protocol()
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
                    "generator_weights": weights,
                    "labels": "none" if classes is None else "even",
                    "seed": seed,
                    "sngan": version("sngan"),
                    "torch": torch.__version__,
                },
            )
        )
    return found


def _protocol(extractor: str, digest: str, images: int, settings: Mapping[str, object]) -> str:
    """Identity of a way of measuring: values under different ones are not to be compared."""
    return " ".join([f"{extractor}@{digest[:8]}", f"n={images}", *(f"{k}={v}" for k, v in sorted(settings.items()))])


def _generated(generator: nn.Module, samples: int, classes: int | None, seed: int) -> Iterator[torch.Tensor]:
    z = sampling.latents(generator, samples, seed, "scores")
    y = None if classes is None else torch.arange(samples) % classes
    for start in range(0, samples, sampling.BATCH):
        part = slice(start, start + sampling.BATCH)
        yield sampling.images(generator, z[part], None if y is None else y[part])
