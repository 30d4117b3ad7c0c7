"""What every installed metric does, a third party's too."""

from __future__ import annotations

import math
from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import cast

import pytest
import torch

from sngan_cli.contracts import CONTRACT, GROUPS, Comparison, Features, Metric, UsageError

IMAGES = 60
SMALL = {"kid": {"subsets": 5, "subset_size": 20}}
"""Options with which so few images suffice."""


@pytest.fixture(params=sorted(entry_points(group=GROUPS["metric"]).names))
def metric(request: pytest.FixtureRequest) -> Metric:
    (found,) = entry_points(group=GROUPS["metric"], name=request.param)
    component = found.load()(**SMALL.get(request.param, {}))
    assert isinstance(component, Metric)
    return component


def images(seed: int, batch: int) -> Iterator[Features]:
    """What an extractor might see in 60 images of three classes, in batches."""
    random = torch.Generator().manual_seed(seed)
    pooled, logits = torch.randn(IMAGES, 8, generator=random), 2 * torch.randn(IMAGES, 5, generator=random)
    labels = torch.arange(IMAGES) % 3
    for start in range(0, IMAGES, batch):
        part = slice(start, start + batch)
        yield Features(pooled[part], logits[part], labels[part])


def value(metric: Metric, batch: int) -> tuple[float, float | None]:
    accumulator = metric.accumulator(IMAGES)
    for features in images(0, batch):
        accumulator.add(features)
    reference = metric.reference(IMAGES)
    if reference is not None:
        for features in images(1, batch):
            reference.add(features)
        cast("Comparison", accumulator).against(reference.result())
    return accumulator.result()


def test_is_documented(metric: Metric) -> None:
    assert metric.contract == CONTRACT
    assert type(metric).__doc__
    assert all(field.description for field in type(metric).model_fields.values())
    assert isinstance(metric.higher_is_better, bool)


@pytest.mark.parametrize("batch", [1, 7, 13])
def test_any_batches_give_the_same_value(metric: Metric, batch: int) -> None:
    whole, parts = value(metric, IMAGES), value(metric, batch)
    assert math.isfinite(whole[0])
    assert parts == (
        pytest.approx(whole[0], rel=1e-6),
        whole[1] if whole[1] is None else pytest.approx(whole[1], rel=1e-6),
    )


def test_too_few_images_are_refused(metric: Metric) -> None:
    with pytest.raises(UsageError, match="images"):
        metric.accumulator(0)


def test_its_protocol_can_be_written_down(metric: Metric) -> None:
    assert all(isinstance(setting, int | float | str) for setting in metric.protocol().values())
