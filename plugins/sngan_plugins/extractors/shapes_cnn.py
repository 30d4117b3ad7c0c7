"""A small classifier of the data set `shapes`, which ships with sngan."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import load
from torch import nn
from torch.nn import functional as F

from sngan_cli.contracts import Extractor, Features, LoadedExtractor
from sngan_plugins.datasets.shapes import DrawnShapes

if TYPE_CHECKING:
    from torch import Tensor

SIDE = 32
FILE = "shapes_cnn.safetensors"


class ShapesCnn(Extractor, contract=1):
    """Classifier of the drawn shapes, trained by `python -m sngan_plugins.extractors.train_shapes_cnn`.

    It needs no download, and its scores say something about `shapes` alone.
    """

    def load(self, device: str, cache: Path) -> LoadedExtractor:
        """Load the weights that ship with sngan."""
        content = (files("sngan_plugins.extractors") / FILE).read_bytes()
        network = ShapesClassifier()
        network.load_state_dict({name: tensor.float() for name, tensor in load(content).items()})
        return LoadedShapesCnn(network.to(device).eval().requires_grad_(False), hashlib.sha256(content).hexdigest())


class LoadedShapesCnn:
    """The classifier on a device: pooled features (N, 128) and logits (N, 10)."""

    class_names = DrawnShapes.class_names

    def __init__(self, network: ShapesClassifier, sha256: str):
        self._network, self.weights_sha256 = network, sha256

    def __call__(self, images: Tensor) -> Features:
        """Extract from uint8 images (N, 3, H, W), resized to 32 pixels."""
        device = next(self._network.parameters()).device
        pooled = self._network.pooled(to_input(images.to(device)))
        return Features(pooled, self._network.classifier(pooled))


class ShapesClassifier(nn.Module):
    """Four convolutions with batch norm, global average pooling and a linear layer, for images in [-1, 1] of 32 px."""

    def __init__(self) -> None:
        super().__init__()
        channels, layers = (24, 48, 96, 128), list[nn.Module]()
        for k, (i, o) in enumerate(zip((3, *channels), channels, strict=False)):
            layers += [nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU()]
            if k < len(channels) - 1:
                layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels[-1], len(DrawnShapes.class_names))

    def pooled(self, x: Tensor) -> Tensor:
        """Features (N, 128): the mean over what is left of the image."""
        out: Tensor = self.features(x).mean((2, 3))
        return out

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, 10)."""
        logits: Tensor = self.classifier(self.pooled(x))
        return logits


def to_input(images: Tensor) -> Tensor:
    """Map uint8 images (N, 3, H, W) to [-1, 1] at 32 pixels, with antialiasing."""
    x = images.float() / 127.5 - 1
    if x.shape[-2:] != (SIDE, SIDE):
        x = F.interpolate(x, (SIDE, SIDE), mode="bilinear", antialias=True)
    return x
