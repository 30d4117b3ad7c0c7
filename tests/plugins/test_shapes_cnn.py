"""The classifier that ships with sngan: it knows the shapes, and says how it was trained."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from sngan_cli.contracts import UsageError
from sngan_cli.engine.trial import check_classes, try_extractor
from sngan_plugins.datasets.shapes import Shapes
from sngan_plugins.extractors.shapes_cnn import FILE, ShapesCnn, to_input
from sngan_plugins.metrics.accuracy import Accuracy


@pytest.mark.parametrize(("side", "least"), [(16, 0.9), (32, 0.97), (64, 0.97)])
def test_pictures_that_it_has_not_seen_are_told_apart(side: int, least: float) -> None:
    pictures = Shapes(images=300, seed=77_777).open(None, Path())
    made = [pictures.read(k, side) for k in range(300)]
    images = torch.from_numpy(np.stack([pixels for pixels, _ in made])).permute(0, 3, 1, 2)
    found = ShapesCnn().load("cpu", Path())(images)
    assert found.pooled.shape == (300, 128)
    right = found.logits.argmax(1) == torch.tensor([label for _, label in made])
    assert right.float().mean().item() >= least


def test_the_weights_are_small_and_name_the_command_that_made_them() -> None:
    path = Path(str(files("sngan_plugins.extractors") / FILE))
    assert path.stat().st_size < 2**20
    with safe_open(path, "pt") as content:
        metadata = content.metadata()
    assert metadata["command"].startswith("python -m sngan_plugins.extractors.train_shapes_cnn --epochs")
    assert float(metadata["held-out accuracy at 32 px"]) > 0.97


def test_accuracy_is_refused_for_ten_classes_that_are_not_the_shapes() -> None:
    loaded = ShapesCnn().load("cpu", Path())
    shown = try_extractor(loaded, "shapes-cnn")
    shapes = Shapes().open(None, Path()).class_names
    check_classes(loaded, {"accuracy": Accuracy()}, shown, shapes, "")
    digits = tuple("0123456789")
    with pytest.raises(UsageError, match=r"own classes, 0, 1, 2, 3, \.\.\., .* tells 10 apart, disc, ring, square"):
        check_classes(loaded, {"accuracy": Accuracy()}, shown, digits, "")


def test_levels_map_to_the_whole_unit_range_and_keep_32_px() -> None:
    images = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 3, 32, 32)
    assert to_input(images)[:, 0, 0, 0].tolist() == [-1, 1]
    assert to_input(images[..., :8, :8]).shape == (2, 3, 32, 32)
