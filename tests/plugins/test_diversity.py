"""Diversity: 0 for a constant generator, 1 for the data, and by hand in between."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from sngan_cli.contracts import Features, UsageError
from sngan_plugins.metrics import diversity
from sngan_plugins.metrics.diversity import Diversity, SpreadBesideReal, mean_distance


def features(pooled: Tensor, labels: Tensor | None = None) -> Features:
    return Features(pooled, torch.zeros(len(pooled), 2), labels)


def compared(generated: Features, real: Features) -> SpreadBesideReal:
    reference, accumulator = Diversity().reference(len(real.pooled)), Diversity().accumulator(len(generated.pooled))
    reference.add(real)
    accumulator.add(generated)
    accumulator.against(reference.result())
    return accumulator


@pytest.fixture
def real() -> Features:
    random = torch.Generator().manual_seed(0)
    return features(torch.randn(90, 16, generator=random), torch.arange(90) % 3)


def test_the_data_score_one(real: Features) -> None:
    again = compared(real, real)
    assert again.result() == (1.0, None)
    assert again.per_class() == [1.0, 1.0, 1.0]


def test_a_constant_generator_scores_zero(real: Features) -> None:
    assert real.labels is not None
    constant = torch.full((90, 16), 1e3 / 3)
    assert compared(features(constant, real.labels), real).result() == (0.0, None)
    one_a_class = real.pooled[:3][real.labels]
    assert compared(features(one_a_class, real.labels), real).result() == (0.0, None)


def test_one_collapsed_class_is_told_from_the_others(real: Features) -> None:
    assert real.labels is not None
    pooled = torch.where((real.labels == 1)[:, None], real.pooled[1], real.pooled)
    accumulator = compared(features(pooled, real.labels), real)
    assert accumulator.per_class() == [1.0, 0.0, 1.0]
    assert accumulator.result()[0] == pytest.approx(2 / 3, abs=0.02)


def test_distances_by_hand() -> None:
    """Classes are 3-4-5 triangles, whose mean distance is 4; a generated one is half as large, another a point."""
    triangle = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    assert mean_distance(triangle).item() == pytest.approx(4.0)
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    real = features(torch.cat([triangle, triangle + 100]), labels)
    found = compared(features(torch.cat([triangle / 2, triangle[:1].expand(3, 2)]), labels), real)
    assert found.per_class() == pytest.approx([0.5, 0.0])
    assert found.result()[0] == pytest.approx(0.25)


def test_classes_that_only_real_pictures_are_of_count_on_neither_side() -> None:
    """Pairs at distances 2 and 4 beside real ones at 4 and 8, and at 100 in a class that is not drawn."""
    generated = features(torch.tensor([[0.0], [2.0], [0.0], [4.0]]), torch.tensor([0, 0, 1, 1]))
    real = features(torch.tensor([[0.0], [4.0], [0.0], [8.0], [0.0], [100.0]]), torch.tensor([0, 0, 1, 1, 2, 2]))
    found = compared(generated, real)
    assert found.result()[0] == pytest.approx(0.5)
    assert found.per_class() == pytest.approx([0.5, 0.5, math.nan], nan_ok=True)


@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
def test_features_stay_as_they_are(precision: torch.dtype) -> None:
    """Other metrics see them, too."""
    given = torch.tensor([[1.0, 2.0], [4.0, 6.0]], dtype=precision)
    assert mean_distance(given).item() == pytest.approx(5.0)
    assert given.tolist() == [[1.0, 2.0], [4.0, 6.0]]


def test_unlabelled_pictures_are_one_class() -> None:
    triangle = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    found = compared(features(2 * triangle), features(triangle))
    assert found.result()[0] == pytest.approx(2.0)


def test_distances_do_not_depend_on_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    random = torch.randn(50, 8, generator=torch.Generator().manual_seed(1))
    whole = mean_distance(random)
    expected = (random.double()[:, None] - random.double()[None]).norm(dim=2).sum() / (50 * 49)
    assert whole.item() == pytest.approx(expected.item(), rel=1e-9)
    monkeypatch.setattr(diversity, "_ROWS", 7)
    assert mean_distance(random).item() == pytest.approx(whole.item(), rel=1e-9)


def test_a_class_of_one_picture_does_not_count() -> None:
    triangle = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    pooled, labels = torch.cat([triangle, triangle[:1]]), torch.tensor([0, 0, 0, 1])
    found = compared(features(pooled, labels), features(pooled, labels))
    assert found.result()[0] == 1.0
    assert math.isnan(found.per_class()[1])


def test_one_image_is_refused() -> None:
    for begin in (Diversity().accumulator, Diversity().reference):
        with pytest.raises(UsageError, match="two images at least, not 1"):
            begin(1)


def test_classes_that_are_left_out_are_said(real: Features) -> None:
    assert compared(real, real).remark() is None
    lone = features(real.pooled[:61], torch.cat([torch.arange(60) % 2, torch.tensor([2])]))
    found = compared(lone, real)
    assert found.remark() == "1 of 3 classes are left out: fewer than two generated images of 1"
    assert [math.isnan(ratio) for ratio in found.per_class()] == [False, False, True]


def test_one_picture_a_class_has_no_value_and_it_is_said_why(real: Features) -> None:
    found = compared(features(real.pooled[:3], torch.arange(3)), real)
    assert math.isnan(found.result()[0])
    assert (
        found.remark() == "3 of 3 classes are left out, so that there is no value: fewer than two generated images of 3"
    )


def test_real_pictures_that_are_all_alike_are_nothing_to_divide_by(real: Features) -> None:
    """In one class the others still have a ratio; in all there is none, whatever the generated pictures are."""
    assert real.labels is not None
    one = features(torch.where((real.labels == 1)[:, None], real.pooled[1], real.pooled), real.labels)
    found = compared(real, one)
    assert found.remark() == "in 1 of 3 classes all real images have the same features"
    assert [math.isnan(ratio) for ratio in found.per_class()] == [False, True, False]
    spread = sum(mean_distance(real.pooled[real.labels == k]).item() for k in range(3))
    lacking = mean_distance(real.pooled[real.labels == 1]).item()
    assert found.result()[0] == pytest.approx(spread / (spread - lacking))
    rest = real.labels != 1
    without = compared(features(real.pooled[rest], real.labels[rest]), one)
    assert without.remark() == "1 of 3 classes are left out: fewer than two generated images of 1"
    constant = features(torch.ones(90, 16), real.labels)
    for generated in (real, constant):
        none = compared(generated, constant)
        assert math.isnan(none.result()[0])
        assert none.remark() == (
            "in 3 of 3 classes all real images have the same features, so that there is no value: "
            "there is nothing to divide by"
        )
