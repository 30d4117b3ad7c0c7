"""The Inception Score against values worked out by hand, a float64 reference, and torch-fidelity's."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_fidelity.metric_isc import isc_features_to_metric

from sngan_cli.contracts import Features, UsageError
from sngan_plugins.metrics.inception_score import InceptionScore, Splits


def scored(logits: Tensor, splits: int = 1, batch: int = 1000) -> Splits:
    accumulator = InceptionScore(splits=splits).accumulator(len(logits))
    for part in logits.split(batch):
        accumulator.add(Features(part, part))
    return accumulator


def score(logits: Tensor, splits: int = 1, batch: int = 1000) -> tuple[float, float | None]:
    return scored(logits, splits, batch).result()


def log(*probabilities: float) -> list[float]:
    return [math.log(p) for p in probabilities]


def test_certain_and_evenly_spread_over_k_classes_scores_k() -> None:
    assert score(1000 * torch.eye(7))[0] == pytest.approx(7)


def test_all_alike_scores_1() -> None:
    assert score(torch.tensor([log(0.2, 0.3, 0.5)] * 9))[0] == pytest.approx(1)


def test_by_hand() -> None:
    # q = (1/2, 1/2); each image: 0.9 ln(0.9 / 0.5) + 0.1 ln(0.1 / 0.5)
    expected = math.exp(0.9 * math.log(1.8) + 0.1 * math.log(0.2))
    value, std = score(torch.tensor([log(0.9, 0.1), log(0.1, 0.9)]))
    assert value == pytest.approx(expected)
    assert std is None  # one split says nothing of a deviation


def test_splits_are_averaged_with_the_deviation_of_the_population() -> None:
    # The first half is certain of two classes by turns (2), the second of one (1): mean 1.5, deviation 0.5.
    logits = torch.tensor([[1e3, 0.0], [0.0, 1e3], [1e3, 0.0], [1e3, 0.0]])
    assert score(logits, splits=2) == (pytest.approx(1.5), pytest.approx(0.5))


@pytest.mark.parametrize(("images", "splits"), [(500, 10), (503, 10), (100, 1), (14, 7)])
def test_agrees_with_torch_fidelity(images: int, splits: int) -> None:
    logits = 3 * torch.randn(images, 12, generator=torch.Generator().manual_seed(0))
    reference = isc_features_to_metric(logits, splits=splits, shuffle=False)
    value, std = score(logits, splits, batch=64)
    assert value == pytest.approx(reference["inception_score_mean"], rel=1e-10)
    if splits > 1:
        assert std == pytest.approx(reference["inception_score_std"], rel=1e-8)
    else:
        assert (std, reference["inception_score_std"]) == (None, 0)


def test_agrees_with_the_definition_in_float64() -> None:
    logits = np.random.default_rng(0).normal(size=(50, 5)) * 2
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = np.exp((p * np.log(p / p.mean(0))).sum(1).mean())
    assert score(torch.from_numpy(logits))[0] == pytest.approx(expected, rel=1e-12)


def test_too_few_images_are_refused() -> None:
    with pytest.raises(
        UsageError, match=r"splits = 10 needs two images in each at least \(20 in all\), not 19: .* Score more"
    ):
        InceptionScore().accumulator(19)
    InceptionScore().accumulator(20)


def test_the_protocol_is_the_number_of_splits() -> None:
    assert InceptionScore(splits=3).protocol() == {"splits": 3}


def certain(images: int) -> Tensor:
    """Logits of images that are each certainly of one of ten classes, at random: many of them have a score of 10."""
    return 1000 * torch.eye(10)[torch.randint(10, (images,), generator=torch.Generator().manual_seed(0))]


@pytest.mark.parametrize("per_split", [20, 40])
def test_small_splits_are_said_to_score_lower_by_about_as_much_as_they_do(per_split: int) -> None:
    few = scored(certain(200 * per_split), splits=200)
    remark = few.remark()
    assert remark is not None
    found = re.fullmatch(
        rf"{per_split} images in a split are few: the score is some (\d+)% or more below that of many", remark
    )
    assert found is not None
    lower = 1 - few.result()[0] / 10
    assert 0.75 * lower < int(found[1]) / 100 <= lower


def test_large_splits_and_images_that_are_all_alike_get_no_remark() -> None:
    assert scored(certain(1000), splits=2).remark() is None
    assert scored(torch.tensor([log(0.2, 0.3, 0.5)] * 20), splits=2).remark() is None


def test_splits_of_a_few_images_are_said_to_tell_nothing() -> None:
    """Two images in a split hide most of what they lack."""
    logits = 1.5 * torch.randn(34, 10, generator=torch.Generator().manual_seed(0))
    tiny, whole = scored(logits, splits=17), scored(logits, splits=1)
    assert tiny.result()[0] < 0.85 * whole.result()[0]
    assert tiny.remark() == "2 images in a split are too few to tell how far the score is below that of many"
    assert "9 images in a split are too few" in str(scored(logits[:18], splits=2).remark())
    assert "9 images in a split are too few" in str(scored(logits[:19], splits=2).remark()), "the other has ten"
    assert "too few" not in str(scored(logits[:20], splits=2).remark())


def test_the_remark_goes_by_the_unbiased_variance() -> None:
    """Ten images certain of three classes: Var(p) / q sums to 2 10 / 9 unbiased, over 2 N 1/9; 1 - exp(-1/9) = 10.5 %.

    By the images' own variance it were 2 / 20: 9.5 %, and no remark.
    """
    remark = scored(1000 * torch.eye(3)[torch.arange(10) % 3]).remark()
    assert remark == "10 images in a split are few: the score is some 11% or more below that of many"
