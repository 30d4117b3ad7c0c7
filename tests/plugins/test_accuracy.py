"""Accuracy of conditional images, by hand."""

from __future__ import annotations

import pytest
import torch

from sngan_cli.contracts import Features, UsageError
from sngan_plugins.metrics.accuracy import Accuracy


def seen(taken_for: list[int], labels: list[int] | None, classes: int = 3) -> Features:
    logits = torch.nn.functional.one_hot(torch.tensor(taken_for), classes).float()
    return Features(logits, logits, None if labels is None else torch.tensor(labels))


def test_the_fraction_that_is_what_was_asked_for() -> None:
    accumulator = Accuracy().accumulator(6)
    accumulator.add(seen([0, 1, 2, 0], [0, 1, 2, 1]))
    accumulator.add(seen([1, 1], [1, 2]))
    assert accumulator.result() == (4 / 6, None)
    assert accumulator.per_class() == pytest.approx([1, 2 / 3, 1 / 2])
    assert accumulator.remark() is None


def test_classes_without_an_image_are_said_and_those_with_one_are_not() -> None:
    accumulator = Accuracy().accumulator(3)
    accumulator.add(seen([0, 1, 1], [0, 1, 1], classes=4))
    assert accumulator.remark() == "2 of 4 classes are left out: there are no images of them"


def test_too_few_images_are_refused() -> None:
    with pytest.raises(UsageError, match="needs images, not 0"):
        Accuracy().accumulator(0)
