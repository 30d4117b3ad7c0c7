"""DINOv2 in torchvision's transformer, beside the transformer of the paper and torch-fidelity's input."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_fidelity.feature_extractor_dinov2 import FeatureExtractorDinoV2

from sngan_cli.contracts import Features, UsageError
from sngan_plugins.extractors.dinov2 import positions
from sngan_plugins.metrics.accuracy import Accuracy
from sngan_plugins.metrics.inception_score import InceptionScore


class Plain(nn.Module):
    """DINOv2 written out from its tensors, in float64: pre-norm blocks, layer scale, six heads."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        self.tensors = {name: tensor.double() for name, tensor in tensors.items()}

    def linear(self, x: Tensor, name: str) -> Tensor:
        return x @ self.tensors[f"{name}.weight"].T + self.tensors[f"{name}.bias"]

    def norm(self, x: Tensor, name: str) -> Tensor:
        deviation = (x.var(-1, correction=0, keepdim=True) + 1e-6).sqrt()
        return (x - x.mean(-1, keepdim=True)) / deviation * self.tensors[f"{name}.weight"] + self.tensors[
            f"{name}.bias"
        ]

    def attention(self, x: Tensor, name: str) -> Tensor:
        n, length, width = x.shape
        q, k, v = self.linear(x, f"{name}.qkv").view(n, length, 3, 6, width // 6).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(2, 3) / math.sqrt(width // 6)).softmax(3)
        return self.linear((weights @ v).transpose(1, 2).flatten(2), f"{name}.proj")

    def forward(self, images: Tensor) -> Tensor:
        t = self.tensors
        patches = F.conv2d(images.double(), t["patch_embed.proj.weight"], t["patch_embed.proj.bias"], stride=14)
        own = t["cls_token"].expand(len(images), -1, -1)
        x = torch.cat([own, patches.flatten(2).transpose(1, 2)], 1) + positions(t["pos_embed"])
        for k in range(12):
            block = f"blocks.{k}."
            x = x + t[f"{block}ls1.gamma"] * self.attention(self.norm(x, f"{block}norm1"), f"{block}attn")
            hidden = F.gelu(self.linear(self.norm(x, f"{block}norm2"), f"{block}mlp.fc1"))
            x = x + t[f"{block}ls2.gamma"] * self.linear(hidden, f"{block}mlp.fc2")
        return self.norm(x, "norm")[:, 0]


def test_features_are_torch_fidelitys(
    stand_in: Callable[..., Any],
    random_weights_of: Callable[[str], dict[str, Tensor]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its input and output, about the transformer of the paper; it would take that from the network, and run it."""
    tensors = random_weights_of("dinov2")
    made = stand_in("dinov2", tensors)
    images = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = made.make(weights=made.path).load("cpu", Path("unused"))(images)
    monkeypatch.setattr(torch.hub, "load", lambda _repository, _name: Plain(tensors))
    monkeypatch.setenv("XFORMERS_DISABLED", "1")
    (expected,) = FeatureExtractorDinoV2("dinov2-vit-s-14", ["dinov2"])(images)
    assert expected.std(0).mean() > 0.05
    torch.testing.assert_close(found.pooled, expected, rtol=1e-4, atol=1e-4)


def test_positions_are_interpolated_as_dinov2_does() -> None:
    """Patch i of 16 is sampled at 37 / 16.1 (i + 1/2) - 1/2 of 37, by Keys's cubic kernel with a = -3/4."""
    values = torch.randn(37, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def kernel(distance: float) -> float:
        d, a = abs(distance), -0.75
        return (a + 2) * d**3 - (a + 3) * d**2 + 1 if d <= 1 else a * (d**3 - 5 * d**2 + 8 * d - 4)

    def sampled(place: float) -> float:
        nearest = range(math.floor(place) - 1, math.floor(place) + 3)
        return sum(kernel(place - j) * values[min(max(j, 0), 36)].item() for j in nearest)

    embedding = torch.cat([torch.full((1, 1, 1), 7.0).double(), values.view(37, 1).expand(37, 37).reshape(1, -1, 1)], 1)
    found = positions(embedding)
    assert found.shape == (1, 1 + 16**2, 1)
    assert found[0, 0] == 7
    expected = [sampled(37 / 16.1 * (i + 0.5) - 0.5) for i in range(16)]
    for column in (0, 9):
        assert found[0, 1:, 0].view(16, 16)[:, column].tolist() == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("metric", "said"), [(InceptionScore(splits=1), "The Inception Score"), (Accuracy(), "An accuracy")]
)
def test_what_needs_classes_is_refused(metric: Any, said: str) -> None:
    with pytest.raises(UsageError, match=f"{said} needs an extractor that tells classes apart, .*--extractor"):
        metric.accumulator(4).add(Features(torch.zeros(4, 3), torch.zeros(4, 0), torch.zeros(4).long()))
