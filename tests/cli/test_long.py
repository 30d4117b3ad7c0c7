"""What takes minutes, or the network."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from sngan_cli import paths
from sngan_plugins.datasets.cifar10 import Cifar10


@pytest.mark.slow
def test_training_raises_the_score(sngan: Any) -> None:
    torch.set_num_threads(2)
    settings = [
        "--dataset", "shapes", "--conditional", "--size", "16", "--arch", "standard", "--set", "arch_g.width=0.5",
        "--set", "arch_d.width=0.25", "--n-dis", "1", "--batch-size", "32", "--g-batch-size", "32", "--lr-g", "5e-4",
        "--lr-d", "1e-3", "--ema", "0.998", "--set", "weights=averaged", "--eval-samples", "1000", "--device", "cpu",
    ]  # fmt: skip
    scores = []
    for steps in (0, 3500):
        assert sngan("train", *settings, "--steps", steps).code == 0
        scores.append(sngan("runs", "show", "@last", "--json").json["scores"][0]["value"])
    assert scores[0] < 1.5
    assert scores[1] > 2.5


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # the compiler looks at attributes that warn
def test_compiled_networks_train_the_same_and_resume_exactly(sngan: Any, tiny: list[str]) -> None:
    def weights(run: str) -> dict[str, torch.Tensor]:
        return load_file(paths.runs_folder() / run / "checkpoints" / "step-00000004" / "generator.safetensors")

    def train(*options: Any) -> str:
        done = sngan("train", *tiny, "--steps", 4, "--set", "checkpoint_every=2", "--set", "keep_every=1", *options)
        assert done.code == 0, done.err
        return str(done.out.strip())

    plain, compiled = train(), train("--compile", "on")
    whole = weights(compiled)
    one, other = ([s["value"] for s in sngan("runs", "show", r, "--json").json["scalars"]] for r in (plain, compiled))
    assert one == pytest.approx(other, rel=1e-3, abs=1e-3)
    assert one != other  # another order of rounding: they were compiled
    assert sngan("train", "--resume", compiled, "--checkpoint", 2, "--yes").code == 0
    assert all(torch.equal(tensor, whole[name]) for name, tensor in weights(compiled).items())


@pytest.mark.network
@pytest.mark.parametrize("dataset", ["cifar10", "stl10"])
def test_a_published_data_set_is_downloaded(sngan: Any, tmp_path: Path, dataset: str) -> None:
    done = sngan("datasets", "preview", dataset, "-o", tmp_path / "preview.png")
    assert done.code == 0, done.err


@pytest.mark.network
def test_the_inception_weights_are_downloaded_and_score(sngan: Any, tiny: list[str]) -> None:
    assert sngan("train", *tiny, "--steps", 1, "--extractor", "inception-v3").code == 0
    assert sngan("runs", "show", "@last", "--json").json["scores"][0]["protocol"].startswith("inception-v3@6726825d")


@pytest.mark.network
def test_cifar10_has_its_published_inception_score(sngan: Any, tmp_path: Path) -> None:
    """11.24 for the training pictures: Salimans et al. (2016), table 3. On two cores it takes an hour, or more."""
    torch.set_num_threads(os.cpu_count() or 1)
    data = Cifar10().open(None, paths.cache_folder() / "downloads")
    place = tmp_path / "pictures"
    place.mkdir()
    for k in range(len(data)):
        Image.fromarray(np.asarray(data.read(k, 32)[0])).save(place / f"{k:05d}.png")
    done = sngan(
        "evaluate", "--images", place, "--against", "cifar10", "--metric", "is", "--protocol", "standard", "--json"
    )
    assert done.code == 0, done.err
    (score,) = done.json
    assert score["protocol"] == "inception-v3@6726825d n=50000 splits=10"
    assert score["value"] == pytest.approx(11.24, abs=0.02)
