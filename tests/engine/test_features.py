"""Features of real images that are kept: whose they are, and what happens where they cannot be read or written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from sngan_cli.contracts import Features
from sngan_cli.engine import features
from sngan_cli.engine.extraction import Extraction, Precision

CPU = torch.device("cpu")


class Brightness:
    """How bright each colour is, so many times: weights of their own."""

    def __init__(self, gain: int) -> None:
        self.gain, self.weights_sha256 = gain, f"{gain:064x}"

    def __call__(self, images: Tensor) -> Features:
        bright = self.gain * images.float().mean((2, 3)) / 255
        return Features(bright, bright[:, :2])


def pooled(gain: int, data: Any, chosen: np.ndarray, cache: Path | None) -> list[list[float]]:
    extraction = Extraction(Brightness(gain), "brightness", CPU)
    found = features.of_real(extraction, data, chosen, cache=cache, progress=lambda _: True)
    return [values for part in found for values in part.pooled.tolist()]


def test_images_are_batched_as_torch_has_them() -> None:
    images = np.random.default_rng(0).integers(0, 256, (110, 2, 2, 3), dtype=np.uint8)
    chosen = np.arange(110)[::-1]
    (first, batch), (rest, last) = features.batches(images, chosen)
    assert (first.tolist(), rest.tolist()) == (chosen[:100].tolist(), chosen[100:].tolist())
    assert batch.tolist() == images[chosen[:100]].transpose(0, 3, 1, 2).tolist()
    assert last.tolist() == images[chosen[100:]].transpose(0, 3, 1, 2).tolist()


def test_features_that_are_kept_are_those_of_the_same_extractor_and_images_in_the_same_order(
    data: Any, tmp_path: Path
) -> None:
    chosen = np.array([3, 0, 7, 5])
    for _ in range(2):
        for gain in (1, 2):
            for images in (chosen, chosen[::-1], chosen[:3]):
                assert pooled(gain, data, images, tmp_path) == pooled(gain, data, images, None)
    assert len([*tmp_path.iterdir()]) == 6


def test_a_pipe_where_features_would_be_kept_is_not_read(
    data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = np.arange(4)
    expected = pooled(1, data, chosen, tmp_path)
    (path,) = tmp_path.iterdir()
    path.unlink()
    os.mkfifo(path)
    monkeypatch.setattr(features, "load_file", pytest.fail)  # it would wait for ever
    assert pooled(1, data, chosen, tmp_path) == expected
    assert path.is_file()


def test_features_whose_parts_are_divided_otherwise_are_made_again(data: Any, tmp_path: Path) -> None:
    """The bytes are the same, and so are the names and the number of images."""
    chosen = np.arange(4)
    expected = pooled(1, data, chosen, tmp_path)
    (path,) = tmp_path.iterdir()
    kept = load_file(path)
    with safe_open(path, "pt") as file:
        written = file.metadata()
    values = torch.cat([kept["logits"].flatten(), kept["pooled"].flatten()])
    save_file({"logits": values[:12].view(4, 3), "pooled": values[12:].view(4, 2)}, path, written)
    assert pooled(1, data, chosen, tmp_path) == expected
    assert load_file(path).keys() == kept.keys()
    assert torch.equal(load_file(path)["pooled"], kept["pooled"])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_of_real_images_no_difference_is_measured(data: Any, precision: Precision) -> None:
    """It would be missing where their features are kept already."""
    extraction = Extraction(Brightness(1), "brightness", CPU, precision)
    assert [*features.of_real(extraction, data, np.arange(4), cache=None, progress=lambda _: True)]
    assert extraction.difference is None
