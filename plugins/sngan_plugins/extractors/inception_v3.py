"""The Inception network of the literature."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import nn
from torch.nn import functional

from sngan_cli.contracts import Extractor, Features, LoadedExtractor
from sngan_plugins.extractors.inference import for_inference
from sngan_plugins.extractors.published import PublishedWeights

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = PublishedWeights(
    title="Inception",
    url="https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
    sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    variable="SNGAN_INCEPTION_WEIGHTS",
)


SIDE = 299
"""Of the images that the network looks at, in pixels."""


class InceptionV3(Extractor, contract=1):
    """Inception v3 of 2015 with TensorFlow's weights and resizing, as torch-fidelity converted them.

    Scores are comparable to the literature's: Salimans et al. (2016) and Heusel et al. (2017) use this network.
    """

    weights: Path | None = None
    """File of the weights; else $SNGAN_INCEPTION_WEIGHTS, then the caches of sngan and torch, then the network."""

    def load(self, device: str, cache: Path) -> LoadedExtractor:
        """Find, verify and load the weights."""
        return InceptionNetwork(WEIGHTS.load(self.weights, cache), WEIGHTS.sha256, device)


class InceptionNetwork:
    """torch-fidelity's network on a device: pooled features (N, 2048) and logits without bias (N, 1008).

    `pooled` makes the former of images (N, 3, 299, 299).
    """

    def __init__(self, tensors: dict[str, Tensor], sha256: str, device: str):
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        self.weights_sha256, self._device = sha256, device
        # torch-fidelity unpickles whatever it is given: give it tensors that were loaded as nothing but tensors.
        file = io.BytesIO()
        torch.save(tensors, file)
        file.seek(0)
        *layers, last = FeatureExtractorInceptionV3("sngan", ["2048", "logits_unbiased"], file).children()
        self.pooled = for_inference(nn.Sequential(*layers, nn.Flatten()), device)
        self._to_logits = cast("nn.Linear", last).weight.to(device)

    def __call__(self, images: Tensor) -> Features:
        """Extract from uint8 images (N, 3, H, W)."""
        pooled = self.pooled(resized((images.to(self._device).float() - 128) / 128))
        return Features(pooled.float(), (pooled @ self._to_logits.T).float())


def resized(images: Tensor) -> Tensor:
    """Bring images (N, C, H, W) to the network's side as TensorFlow 1 did: pixel k of 299 is that of k H / 299.

    To torch these are aligned corners, of images that have another row and column, as far away as the others.
    """
    longer = functional.pad(images, (0, 1, 0, 1), mode="replicate")
    return functional.interpolate(longer, (SIDE + 1, SIDE + 1), mode="bilinear", align_corners=True)[..., :SIDE, :SIDE]
