"""What every installed extractor does whose weights are at hand, a third party's too."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import torch

from sngan_cli.contracts import (
    CONTRACT,
    GROUPS,
    Extractor,
    LoadedExtractor,
    TrainableExtractor,
    UsageError,
    WeightsUnavailableError,
)
from sngan_cli.engine.classifier import write_weights

PUBLISHED = {"dinov2", "inception-v3", "torchvision-inception"}
"""Those whose weights are downloaded: random ones stand in for them."""


@pytest.fixture(params=sorted(entry_points(group=GROUPS["extractor"]).names))
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def extractor(name: str) -> Extractor:
    (found,) = entry_points(group=GROUPS["extractor"], name=name)
    component = found.load()()
    assert isinstance(component, Extractor)
    return component


@pytest.fixture
def loaded(name: str, extractor: Extractor, stand_in: Callable[..., Any], tmp_path: Path) -> LoadedExtractor:
    """The extractor on the CPU; one that is trained by the user has the weights of an untrained network."""
    if name in PUBLISHED:
        made = stand_in(name)
        extractor = made.make(weights=made.path)
    if isinstance(extractor, TrainableExtractor):
        network = extractor.network(16, 3)
        extractor = extractor.model_copy(
            update={"weights": tmp_path / "w", "sha256": write_weights(network, tmp_path / "w"), "trained": "mine"}
        )
    try:
        return extractor.load("cpu", tmp_path)
    except WeightsUnavailableError:
        pytest.skip("its weights are not at hand")


def test_is_documented(extractor: Extractor) -> None:
    assert extractor.contract == CONTRACT
    assert type(extractor).__doc__
    assert all(field.description for field in type(extractor).model_fields.values())


def test_its_weights_are_identified(loaded: LoadedExtractor) -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", loaded.weights_sha256)


@pytest.mark.parametrize("side", [8, 33])
def test_features_of_images_of_any_size(loaded: LoadedExtractor, side: int) -> None:
    images = torch.randint(0, 256, (5, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = loaded(images)
    assert len(found.pooled) == len(found.logits) == 5
    assert found.pooled.isfinite().all()
    assert not found.logits.requires_grad
    alone = loaded(images[3:4])
    torch.testing.assert_close(alone.pooled[0], found.pooled[3], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(alone.logits[0], found.logits[3], rtol=1e-4, atol=1e-4)


def test_one_that_can_be_trained_builds_its_network_from_the_weights_alone(
    extractor: Extractor, tmp_path: Path
) -> None:
    if not isinstance(extractor, TrainableExtractor):
        pytest.skip("it comes trained")
    network = extractor.network(16, 3).eval()
    digest = write_weights(network, tmp_path / "weights")
    made = type(extractor)(**{**dict(extractor), "weights": tmp_path / "weights", "sha256": digest, "trained": "mine"})
    images = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = made.load("cpu", tmp_path)(images)
    assert found.logits.shape == (4, 3)
    torch.testing.assert_close(found.logits, network(images / 127.5 - 1).detach())
    assert made.label(type(made).__name__) == "mine"
    with pytest.raises(UsageError, match="1"):
        extractor.network(1, 3)
