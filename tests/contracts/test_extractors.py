"""What every installed extractor does whose weights are at hand, a third party's too."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import torch

from sngan_cli.contracts import CONTRACT, GROUPS, Extractor, LoadedExtractor, WeightsUnavailableError


@pytest.fixture(params=sorted(entry_points(group=GROUPS["extractor"]).names))
def extractor(request: pytest.FixtureRequest) -> Extractor:
    (found,) = entry_points(group=GROUPS["extractor"], name=request.param)
    component = found.load()()
    assert isinstance(component, Extractor)
    return component


@pytest.fixture
def loaded(extractor: Extractor, tmp_path: Path) -> LoadedExtractor:
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
