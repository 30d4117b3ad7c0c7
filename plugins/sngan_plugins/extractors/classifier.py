"""A small residual classifier of any data set, which sngan trains itself: `sngan extractors train`."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from typing import TYPE_CHECKING, Annotated

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn
from torch.nn import functional as F

from sngan_cli.contracts import ComponentError, Features, Field, LoadedExtractor, TrainableExtractor, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

LEAST_SIDE, FULL_SIDE = 8, 48
"""Pictures of fewer pixels have nothing left after three halvings; larger ones are halved once more for each octave."""


class Classifier(TrainableExtractor, contract=1):
    """A residual network that was trained on a data set by `sngan extractors train NAME`.

    `--extractor NAME` fills in its options. The order convolution, pooling, batch norm and the widths w, 4w, 4w follow
    K. Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU" (2024), section 3; the residual additions D. Page,
    "How to train your ResNet" (2018).
    """

    width: Annotated[int, Field(ge=4, le=1024, multiple_of=2)] = 32
    """Channels of the first stage, w; pooled features have 4w."""
    depth: Annotated[int, Field(ge=1, le=16)] = 1
    """Convolutions in the residual branch of each of the three stages."""
    mirror: bool = False
    """Features are the mean of an image's and its mirror image's: more accurate, in twice the time; not for digits."""

    def network(self, side: int, classes: int) -> ResidualClassifier:
        """Build an untrained network for `side` pixels; raises `UsageError` where they are too few."""
        if side < LEAST_SIDE:
            raise UsageError(f"A classifier needs pictures of {LEAST_SIDE} pixels at least, not {side}: give --size.")
        return ResidualClassifier(side, classes, self.width, self.depth, self.mirror)

    def load(self, device: str, cache: Path) -> LoadedExtractor:
        """Verify the weights and load them; side and classes are theirs.

        Raises `ComponentError` where none are named, or they are missing or not those that were trained.
        """
        if self.weights is None or self.sha256 is None:
            raise ComponentError(
                "The extractor 'classifier' has no weights of its own: train some with `sngan extractors train NAME "
                "--dataset D`, and give --extractor NAME."
            )
        content = _verified(self.weights, self.sha256)
        try:
            tensors = load(content)
            network = self.network(int(tensors["side"]), len(tensors["classifier.bias"]))
            network.load_state_dict(tensors)
            class_names = json.loads(_metadata(content).get("class_names", "[]"))
        except (SafetensorError, KeyError, RuntimeError, ValueError) as error:
            raise ComponentError(
                f"The weights {self.weights} are not those of a classifier of width = {self.width}, depth = "
                f"{self.depth} and mirror = {str(self.mirror).lower()}: leave these options out where --extractor "
                "names the extractor, or give what they were trained with."
            ) from error
        network = network.to(device).to(memory_format=torch.channels_last)
        return LoadedClassifier(network.eval().requires_grad_(False), self.sha256, class_names)


class LoadedClassifier:
    """The classifier on a device: pooled features (N, 4w) and logits (N, classes)."""

    def __init__(self, network: ResidualClassifier, sha256: str, class_names: Sequence[str]):
        self._network, self.weights_sha256, self.class_names = network, sha256, class_names
        self.side = int(network.side)

    def __call__(self, images: Tensor) -> Features:
        """Extract from uint8 images (N, 3, H, W), resized to the side that the classifier was trained for."""
        x = images.to(self._network.side.device).float() / 127.5 - 1
        if x.shape[-2:] != (self.side, self.side):
            x = F.interpolate(x, (self.side, self.side), mode="bilinear", antialias=True)
        with torch.no_grad():
            pooled = self._network.pooled(x.contiguous(memory_format=torch.channels_last))
            return Features(pooled, self._network.classifier(pooled))


class ResidualClassifier(nn.Module):
    """A convolution and three residual stages, each at half the side, global average pooling and a linear layer."""

    side: Tensor

    def __init__(self, side: int, classes: int, width: int, depth: int, mirror: bool):
        super().__init__()
        self.register_buffer("side", torch.tensor(side))  # kept with the weights: a file of them is complete
        self.mirror = mirror
        if mirror:  # so that weights of one kind are not taken for those of the other
            self.register_buffer("mirrored", torch.tensor(True))
        halvings = max(0, math.ceil(math.log2(side / FULL_SIDE)))
        self.stem = nn.Sequential(_conv(3, width // 2), nn.BatchNorm2d(width // 2), nn.ReLU(True))
        self.shrink = nn.MaxPool2d(2**halvings) if halvings else nn.Identity()
        sizes = (width // 2, width, 4 * width, 4 * width)
        self.stages = nn.Sequential(*(_Stage(i, o, depth) for i, o in itertools.pairwise(sizes)))
        self.classifier = nn.Linear(4 * width, classes)

    def pooled(self, x: Tensor) -> Tensor:
        """Features (N, 4w) of images (N, 3, side, side) in [-1, 1]: the mean over what is left of the image.

        Mirror images are looked at in evaluation only: in training those are others' turns.
        """
        means = self._means(x)
        return (means + self._means(x.flip(3))) / 2 if self.mirror and not self.training else means

    def _means(self, x: Tensor) -> Tensor:
        means: Tensor = self.stages(self.shrink(self.stem(x))).mean((2, 3))
        return means

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes)."""
        logits: Tensor = self.classifier(self.pooled(x))
        return logits


class _Stage(nn.Module):
    """h = relu(bn(pool(conv(x)))), then h + f(h), where f is relu(bn(conv(.))) `depth` times over."""

    def __init__(self, inputs: int, outputs: int, depth: int):
        super().__init__()
        # Pooling comes before the norm: the rest has a quarter of the pixels to go over.
        self.halve = nn.Sequential(_conv(inputs, outputs), nn.MaxPool2d(2), nn.BatchNorm2d(outputs), nn.ReLU(True))
        layers = ((_conv(outputs, outputs), nn.BatchNorm2d(outputs), nn.ReLU(True)) for _ in range(depth))
        self.residual = nn.Sequential(*itertools.chain.from_iterable(layers))

    def forward(self, x: Tensor) -> Tensor:
        h = self.halve(x)
        out: Tensor = h + self.residual(h)
        return out


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)


def _verified(path: Path, sha256: str) -> bytes:
    """Read a file; raises `ComponentError` where it is missing or has another hash."""
    try:
        content = path.expanduser().read_bytes()
    except OSError as error:
        raise ComponentError(
            f"The classifier's weights {path} cannot be read: {error.strerror}. Put the file with SHA-256 {sha256} "
            "there."
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ComponentError(
            f"The classifier's weights {path} are not the expected ones: their SHA-256 is {found}, not {sha256}. Put "
            "that file back from a copy."
        )
    return content


def _metadata(content: bytes) -> dict[str, str]:
    """The metadata of a safetensors file: a header of JSON, after its length in 8 bytes."""
    header: dict[str, dict[str, str]] = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return header.get("__metadata__", {})
