"""The Inception network of the literature: what it makes of pictures, with random weights for the published ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

from sngan_plugins.extractors.inception_v3 import resized


@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (33, 32), (298, 299), (299, 299), (300, 500)])
def test_images_are_resized_as_torch_fidelity_does(shape: tuple[int, int]) -> None:
    images = torch.randint(0, 256, (2, 3, *shape), generator=torch.Generator().manual_seed(0)).float()
    theirs = interpolate_bilinear_2d_like_tensorflow1x(images, size=(299, 299), align_corners=False)
    torch.testing.assert_close(resized(images), theirs, rtol=0, atol=1e-4)


@pytest.mark.parametrize("side", [8, 33])
def test_features_are_torch_fidelitys(stand_in: Callable[..., Any], side: int) -> None:
    """Batch norms are folded and channels are last: the same to within rounding."""
    made = stand_in("inception-v3")
    images = torch.randint(0, 256, (3, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = made.make(weights=made.path).load("cpu", Path("unused"))(images)
    network = FeatureExtractorInceptionV3("theirs", ["2048", "logits_unbiased", "logits"], str(made.path))
    pooled, logits, biased = network(images)
    assert pooled.std(0).mean() > 0.01 * pooled.mean()
    torch.testing.assert_close(found.pooled, pooled, rtol=1e-5, atol=1e-5 * float(pooled.abs().max()))
    torch.testing.assert_close(found.logits, logits, rtol=1e-5, atol=1e-5 * float(logits.abs().max()))
    assert not torch.allclose(biased, logits, rtol=1e-3)


def test_autocast_gives_float32_near_the_same(stand_in: Callable[..., Any]) -> None:
    made = stand_in("inception-v3")
    extractor = made.make(weights=made.path).load("cpu", Path("unused"))
    images = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    exact = extractor(images)
    with torch.autocast("cpu", torch.bfloat16):
        found = extractor(images)
    assert (found.pooled.dtype, found.logits.dtype) == (torch.float32, torch.float32)
    assert 0 < (found.pooled - exact.pooled).norm() / exact.pooled.norm() < 0.03
