"""What metrics keep of features: one copy together, and nothing beside them."""

from __future__ import annotations

import weakref
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from sngan_cli.contracts import Features
from sngan_cli.engine import evaluation
from sngan_plugins import collected as collected_features
from sngan_plugins.collected import Collected, left_out
from sngan_plugins.metrics.coverage import Coverage
from sngan_plugins.metrics.density import Density
from sngan_plugins.metrics.intra_fid import IntraFid
from sngan_plugins.metrics.kid import KernelInceptionDistance
from sngan_plugins.metrics.precision import Precision
from sngan_plugins.metrics.recall import Recall


def seen(batches: list[Tensor], *all_of: Collected) -> None:
    """Show batches as the engine does: each to all."""
    for batch in batches:
        for collected in all_of:
            collected.add(Features(batch, batch))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_who_is_shown_the_same_batches_keeps_one_copy(dtype: torch.dtype) -> None:
    batches = [torch.arange(6.0).view(3, 2).to(dtype), torch.full((2, 2), 7.0, dtype=dtype)]
    one, same, other = Collected(), Collected(), Collected()
    seen(batches, one, same)
    seen([batches[0], batches[1] + 1], other)
    assert one.features().tolist() == [[0, 1], [2, 3], [4, 5], [7, 7], [7, 7]]
    assert one.features().dtype == torch.float32
    assert same.features() is one.features()
    assert other.features().tolist() == [[0, 1], [2, 3], [4, 5], [8, 8], [8, 8]]


def test_many_batches_are_laid_out_meanwhile_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collected_features, "_LARGE", 32)  # four rows of two float32
    one, same = Collected(), Collected()
    batches = [torch.full((rows, 2), float(rows)) for rows in (3, 2, 4, 1)]
    gone = [weakref.ref(batch) for batch in batches]
    seen(batches, one, same)
    del batches
    assert [batch() is None for batch in gone] == [True, True, True, False]
    assert one.features()[:, 0].tolist() == [3] * 3 + [2] * 2 + [4] * 4 + [1]
    assert same.features() is one.features()


def test_batches_in_the_place_of_others_are_not_taken_for_them() -> None:
    """Python gives the ids of what is gone to what comes next."""
    kept = []
    for k in range(50):
        collected = Collected()
        seen([torch.full((2, 2), float(k)), torch.full((1, 2), float(k))], collected)
        kept.append(collected.features())
    assert [features.unique().tolist() for features in kept] == [[k] for k in range(50)]


def test_a_part_of_a_larger_tensor_does_not_keep_all_of_it() -> None:
    tokens = torch.randn(10, 257, 4, generator=torch.Generator().manual_seed(0))
    collected = Collected()
    seen([tokens[:, 0]], collected)
    assert torch.equal(collected.features(), tokens[:, 0])
    assert collected.features().untyped_storage().nbytes() == 10 * 4 * 4


def test_all_metrics_keep_the_real_features_once() -> None:
    metrics = {
        "kid": KernelInceptionDistance(subset_size=50), "precision": Precision(), "recall": Recall(),
        "density": Density(), "coverage": Coverage(), "intra-fid": IntraFid(),
    }  # fmt: skip
    labels = np.arange(250) % 60
    pooled = torch.randn(250, 64, generator=torch.Generator().manual_seed(0))

    def features_of(chosen: np.ndarray) -> Iterator[Features]:
        for part in np.array_split(chosen, 3):
            yield Features(pooled[part], pooled[part])

    made = evaluation.references(metrics, features_of, labels, "0" * 64, conditional=True, count=250)
    kept = {t.untyped_storage().data_ptr(): t.untyped_storage() for m in made.statistics.values() for t in m.values()}
    assert sum(storage.nbytes() for storage in kept.values()) == 250 * (
        64 * 4 + 8 + 2 * 4
    )  # features, labels, two radii


def test_which_classes_are_left_out_and_why() -> None:
    assert left_out(torch.tensor([[2, 3], [2, 9]])) is None
    assert (
        left_out(torch.tensor([[0, 1, 5, 7], [9, 9, 1, 2]]))
        == "3 of 4 classes are left out: fewer than two generated images of 2, fewer than two real images of 1"
    )
    assert (
        left_out(torch.tensor([[1, 1], [50, 50]]))
        == "2 of 2 classes are left out, so that there is no value: fewer than two generated images of 2"
    )
