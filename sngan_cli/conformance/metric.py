"""What a metric promises: numbers, the same for the same images in any batches, and a protocol that tells it apart."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import cast

import torch

from sngan_cli.conformance.promises import Bench, BrokenPromiseError, Promise, UncheckedError, expect
from sngan_cli.contracts import Accumulator, Classwise, Comparison, Features, Metric, Reference, Remarking, UsageError
from sngan_cli.engine.evaluation import settings_of

IMAGES, CLASSES = 60, 3


def gives_numbers_and_words(metric: Metric, bench: Bench) -> None:
    """Raise where what is recorded of a score cannot be: only Python's numbers and texts are."""
    accumulator = _complete(metric, IMAGES)
    value, std = accumulator.result()
    _expect_number("its value", value)
    if std is not None:
        _expect_number("its standard deviation", std)
    if isinstance(accumulator, Remarking):
        remark = accumulator.remark()
        expect(remark is None or isinstance(remark, str), f"its remark {remark!r} is no text")
    if isinstance(accumulator, Classwise):
        values = accumulator.per_class()
        expect(len(values) >= CLASSES, f"images of {CLASSES} classes have {len(values)} values by class")
        for label, each in enumerate(values):
            _expect_number(f"the value of class {label}", each)


def gives_any_batches_the_same_value(metric: Metric, bench: Bench) -> None:
    """Raise where the value depends on how images are divided into batches, or is not finite."""
    whole = _value(metric, IMAGES)
    expect(math.isfinite(whole[0]), f"its value is {whole[0]}")
    for batch in (1, 7, 13):
        found = _value(metric, batch)
        expect(all(map(_near, found, whole)), f"in batches of {batch} it is {found}, of {IMAGES} {whole}")


def leaves_features_alone(metric: Metric, bench: Bench) -> None:
    """Raise where a metric changes the features that it is shown, which are shown to other metrics as well.

    These may keep them, so that it may change them neither at once nor as it comes to its result.
    """
    accumulator, reference = _begun(metric)
    shown = [*_images(0, 20)]
    for features in shown:
        accumulator.add(features)
        if reference is not None:
            reference.add(features)
    if reference is not None:
        cast("Comparison", accumulator).against(reference.result())
    accumulator.result()
    for features, before in zip(shown, _images(0, 20), strict=True):
        for part in ("pooled", "logits", "labels"):
            same = torch.equal(getattr(features, part), getattr(before, part))
            expect(same, f"it changes the {part} that it is shown: it must copy them first")


def refuses_too_few(metric: Metric, bench: Bench) -> None:
    """Raise where a score of no images is begun, or refused in other words than `UsageError`'s."""
    try:
        metric.accumulator(0)
    except UsageError as error:
        expect("image" in str(error), f"that there are too few images is not said: {error}")
    else:
        raise BrokenPromiseError("it begins a score of 0 images, and raises no UsageError")


def writes_its_protocol_down(metric: Metric, bench: Bench) -> None:
    """Raise where a setting cannot be part of a protocol's name, or is called as one of sngan's own."""
    settings_of(type(metric).__name__, metric)


def _near(a: float | None, b: float | None) -> bool:
    return a is b if a is None or b is None else math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-12)


def _expect_number(what: str, value: object) -> None:
    expect(
        isinstance(value, int | float),
        f"{what} is of the type {type(value).__name__}, not a float of Python's, as .item() of a tensor or array is",
    )


def _value(metric: Metric, batch: int) -> tuple[float, float | None]:
    return _complete(metric, batch).result()


def _complete(metric: Metric, batch: int) -> Accumulator:
    """A score of images that came in batches, before its result is asked for."""
    accumulator, reference = _begun(metric)
    for features in _images(0, batch):
        accumulator.add(features)
    if reference is not None:
        for features in _images(1, batch):
            reference.add(features)
        cast("Comparison", accumulator).against(reference.result())
    return accumulator


def _begun(metric: Metric) -> tuple[Accumulator, Reference | None]:
    try:
        return metric.accumulator(IMAGES), metric.reference(IMAGES)
    except UsageError as error:
        raise UncheckedError(f"{IMAGES} images are too few: {error}") from error


def _images(seed: int, batch: int) -> Iterator[Features]:
    """What an extractor might see in images of some classes, in batches."""
    random = torch.Generator().manual_seed(seed)
    pooled, logits = torch.randn(IMAGES, 8, generator=random), 2 * torch.randn(IMAGES, 5, generator=random)
    labels = torch.arange(IMAGES) % CLASSES
    for start in range(0, IMAGES, batch):
        part = slice(start, start + batch)
        yield Features(pooled[part], logits[part], labels[part])


PROMISES = (
    Promise("what it gives are numbers, and remarks in words", gives_numbers_and_words),
    Promise("the same images in any batches have the same value", gives_any_batches_the_same_value),
    Promise("features that it is shown stay as they are", leaves_features_alone),
    Promise("a score of no images is refused", refuses_too_few),
    Promise("its protocol is of numbers and texts, called as none of sngan's own", writes_its_protocol_down),
)
