"""torchvision's Inception network, as the article used it, with random weights for the published ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torchvision.models import inception_v3
from torchvision.transforms.functional import normalize


def test_it_sees_what_the_articles_code_showed_it(stand_in: Callable[..., Any]) -> None:
    """From images in [-1, 1], by the layers that inception_score.py names, to logits with their bias."""
    made = stand_in("torchvision-inception")
    images = torch.randint(0, 256, (3, 3, 12, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = made.make(weights=made.path).load("cpu", Path("unused"))(images)
    network = inception_v3(weights=None, init_weights=False, transform_input=False).eval()
    network.load_state_dict(torch.load(made.path, weights_only=True))
    generated = images.float() / 127.5 - 1
    x = normalize(generated / 2.0 + 0.5, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    pooled: list[torch.Tensor] = []
    network.avgpool.register_forward_hook(lambda _module, _inputs, output: pooled.append(output.flatten(1)))
    with torch.no_grad():
        logits = network(nn.UpsamplingBilinear2d(size=(299, 299))(x))
    torch.testing.assert_close(found.logits, logits, rtol=1e-5, atol=1e-5 * float(logits.abs().max()))
    torch.testing.assert_close(found.pooled, pooled[0], rtol=1e-5, atol=1e-5 * float(pooled[0].abs().max()))
