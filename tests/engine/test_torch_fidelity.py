"""Our whole way from pictures to scores beside torch-fidelity's, with random weights for the published ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torch_fidelity import calculate_metrics

from sngan_cli.contracts import Features, Metric
from sngan_cli.engine import evaluation, features
from sngan_cli.engine.extraction import Extraction
from sngan_plugins.metrics.fid import FrechetInceptionDistance
from sngan_plugins.metrics.inception_score import InceptionScore
from sngan_plugins.metrics.kid import KernelInceptionDistance
from sngan_plugins.metrics.precision import Precision
from sngan_plugins.metrics.recall import Recall

GENERATED, REAL, SIDE = 48, 56, 16
METRICS: dict[str, Metric] = {
    "is": InceptionScore(splits=1),
    "is in splits": InceptionScore(splits=5),  # 48 is no multiple of 5
    "fid": FrechetInceptionDistance(),
    "kid": KernelInceptionDistance(subsets=10, subset_size=40),
    "precision": Precision(),
    "recall": Recall(),
}


def pictures(count: int, *, seed: int, contrast: float, brightness: float) -> np.ndarray:
    """Blurred spots under noise, (count, 16, 16, 3) uint8: much alike to a random network, yet no two the same."""
    random = torch.Generator().manual_seed(seed)
    spots = torch.randn(count, 3, 4, 4, generator=random) * contrast * torch.rand(count, 1, 1, 1, generator=random)
    x = F.interpolate(spots + torch.randn(count, 3, 1, 1, generator=random) / 2 + brightness, (SIDE, SIDE))
    x = x + 0.3 * torch.rand(count, 1, 1, 1, generator=random) * torch.randn(x.shape, generator=random)
    return ((x.tanh() + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()


def telling_pictures_apart(tensors: dict[str, Tensor], pooled: Tensor) -> dict[str, Tensor]:
    """The same weights, with a last layer whose logits depend on what differs between pictures.

    A random one sees little but what all features have in common, and gives all of them the same class.
    """
    mean = pooled.mean(0)
    weight = tensors["fc.weight"] - torch.outer(tensors["fc.weight"] @ mean, mean) / mean.square().sum()
    spread = ((pooled - mean) @ weight.T).std()
    return {**tensors, "fc.weight": 3 * weight / spread}


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    return (
        pictures(GENERATED, seed=1, contrast=2.0, brightness=0.5),
        pictures(REAL, seed=2, contrast=1.3, brightness=0.0),
    )


def folder(place: Path, images: np.ndarray) -> str:
    """PNG files whose names sort as the images are ordered."""
    place.mkdir()
    for k, image in enumerate(images):
        Image.fromarray(image).save(place / f"{k:04d}.png")
    return str(place)


def test_scores_are_torch_fidelitys(
    data: tuple[np.ndarray, np.ndarray],
    stand_in: Callable[..., Any],
    random_weights_of: Callable[[str], dict[str, Tensor]],
    tmp_path: Path,
) -> None:
    """IS, FID, KID, precision and recall of the same PNG files, by its `calculate_metrics` and by our evaluation.

    Both take pictures in one order, which decides on splits of the IS and, with the same seed, on subsets of the KID.
    Hence its files are named in the order that ours is drawn in, and it is not to shuffle.
    """
    generated, real = data
    tensors = random_weights_of("inception-v3")
    made = stand_in("inception-v3", tensors)
    few = torch.from_numpy(generated[:8]).permute(0, 3, 1, 2).contiguous()
    seen = made.make(weights=made.path).load("cpu", tmp_path)(few)
    made = stand_in("inception-v3", telling_pictures_apart(tensors, seen.pooled))
    extractor = made.make(weights=made.path).load("cpu", tmp_path)

    order: list[np.ndarray] = []

    def features_of(chosen: np.ndarray) -> Iterator[Features]:
        order.append(chosen)
        for _, batch in features.batches(real, chosen):
            with torch.no_grad():
                yield extractor(batch)

    labels = np.zeros(REAL, dtype=np.int64)
    references = evaluation.references(METRICS, features_of, labels, "0" * 64, conditional=False, count=REAL)
    batches = list(evaluation.pictures(generated, None, GENERATED))
    scored = evaluation.score(
        batches, METRICS, Extraction(extractor, "inception-v3", torch.device("cpu")), step=0, samples=GENERATED,
        class_names=None, real=references, settings={}, evidence={}, progress=lambda _: True,
    )  # fmt: skip
    ours = {score.metric: (score.value, score.std) for score in scored}

    ordered = torch.cat([images for images, _ in batches]).permute(0, 2, 3, 1).numpy()
    settings: dict[str, Any] = {
        "input1": folder(tmp_path / "generated", ordered), "input2": folder(tmp_path / "real", real[order[0]]),
        "input1_cache_name": "generated", "input2_cache_name": "real", "cache_root": str(tmp_path / "cache"),
        "feature_extractor": "inception-v3-compat", "feature_extractor_weights_path": str(made.path),
        "samples_shuffle": False, "save_cpu_ram": True, "cuda": False, "verbose": False,
    }  # fmt: skip
    theirs = calculate_metrics(
        **settings, isc=True, isc_splits=1, fid=True, kid=True, kid_subsets=10, kid_subset_size=40, prc=True
    )
    in_splits = calculate_metrics(**settings, isc=True, isc_splits=5)

    def agree(metric: str, found: dict[str, float], name: str, std: str | None = None) -> None:
        assert ours[metric][0] == pytest.approx(found[name], rel=1e-4)
        if std is not None:
            assert ours[metric][1] == pytest.approx(found[std], rel=1e-4)

    # A score that says nothing is easily agreed upon.
    assert 2 < theirs["inception_score_mean"] < GENERATED / 2
    assert in_splits["inception_score_std"] > 0.01
    assert theirs["kernel_inception_distance_mean"] > 3 * theirs["kernel_inception_distance_std"] > 0
    assert 0.1 < theirs["precision"] < 0.95
    assert 0.1 < theirs["recall"] < 0.95
    assert theirs["precision"] != theirs["recall"]
    agree("is", theirs, "inception_score_mean")
    agree("is in splits", in_splits, "inception_score_mean", "inception_score_std")
    agree("fid", theirs, "frechet_inception_distance")
    agree("kid", theirs, "kernel_inception_distance_mean", "kernel_inception_distance_std")
    agree("precision", theirs, "precision")
    agree("recall", theirs, "recall")
