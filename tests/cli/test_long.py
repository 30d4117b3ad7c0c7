"""What takes minutes, or the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch


@pytest.mark.slow
def test_training_raises_the_score(sngan: Any) -> None:
    torch.set_num_threads(2)
    settings = [
        "--dataset", "shapes", "--conditional", "--size", "16", "--arch", "standard", "--set", "arch_g.width=0.5",
        "--set", "arch_d.width=0.25", "--n-dis", "1", "--batch-size", "32", "--g-batch-size", "32", "--lr-g", "5e-4",
        "--lr-d", "1e-3", "--ema", "0.998", "--set", "weights=averaged", "--eval-samples", "1000", "--device", "cpu",
    ]  # fmt: skip
    scores = []
    for steps in (0, 2000):
        assert sngan("train", *settings, "--steps", steps).code == 0
        scores.append(sngan("runs", "show", "@last", "--json").json["scores"][0]["value"])
    assert scores[0] < 1.5
    assert scores[1] > 2.5


@pytest.mark.network
@pytest.mark.parametrize("dataset", ["cifar10", "stl10"])
def test_a_published_data_set_is_downloaded(sngan: Any, tmp_path: Path, dataset: str) -> None:
    done = sngan("datasets", "preview", dataset, "-o", tmp_path / "preview.png")
    assert done.code == 0, done.err


@pytest.mark.network
def test_the_inception_weights_are_downloaded_and_score(sngan: Any, tiny: list[str]) -> None:
    assert sngan("train", *tiny, "--steps", 1, "--extractor", "inception-v3").code == 0
    assert sngan("runs", "show", "@last", "--json").json["scores"][0]["protocol"].startswith("inception-v3@6726825d")
