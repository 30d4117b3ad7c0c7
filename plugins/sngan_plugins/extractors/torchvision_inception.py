"""torchvision's Inception network, which the article's own scores come from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F

from sngan_cli.contracts import Extractor, Features, LoadedExtractor
from sngan_plugins.extractors.inference import for_inference
from sngan_plugins.extractors.published import PublishedWeights

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = PublishedWeights(
    title="torchvision Inception",
    url="https://download.pytorch.org/models/inception_v3_google-0cc3c7bd.pth",
    sha256="0cc3c7bd75056d25e46cba549dc184522069b81e9787eff6df84f397bd52a5ef",
    variable="SNGAN_TORCHVISION_INCEPTION_WEIGHTS",
)
SIDE = 299
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class TorchvisionInception(Extractor, contract=1):
    """Inception v3 of torchvision (IMAGENET1K_V1), with the input and the output that the article gave it.

    koshian2's inception_score.py, which is S. Barratt's of 2017: ImageNet's mean and deviation, then bilinear resizing
    to 299 pixels with aligned corners; a softmax over all 1000 logits, bias included; 10 000 images in one split, as
    `--protocol article` has it. The article fed it G's floats, where images here have 8 bits a channel. Its scores are
    not the literature's, which come from `inception-v3`.
    """

    weights: Path | None = None
    """File of the weights; else $SNGAN_TORCHVISION_INCEPTION_WEIGHTS, the caches of sngan and torch, the network."""

    def load(self, device: str, cache: Path) -> LoadedExtractor:
        """Find, verify and load the weights."""
        return TorchvisionInceptionNetwork(WEIGHTS.load(self.weights, cache), WEIGHTS.sha256, device)


class TorchvisionInceptionNetwork:
    """torchvision's network on a device: pooled features (N, 2048) and logits (N, 1000)."""

    def __init__(self, tensors: dict[str, Tensor], sha256: str, device: str):
        from torchvision.models import inception_v3

        self.weights_sha256, self._device = sha256, device
        network = inception_v3(weights=None, aux_logits=False, init_weights=False, transform_input=False)
        network.load_state_dict({name: t for name, t in tensors.items() if not name.startswith("AuxLogits.")})
        self._classifier, network.fc = network.fc.to(device).requires_grad_(False), nn.Identity()
        self._network = for_inference(network, device)
        self._mean, self._std = (torch.tensor(values, device=device).view(3, 1, 1) for values in (MEAN, STD))

    def __call__(self, images: Tensor) -> Features:
        """Extract from uint8 images (N, 3, H, W)."""
        x = (images.to(self._device).float() / 255 - self._mean) / self._std
        x = F.interpolate(x, (SIDE, SIDE), mode="bilinear", align_corners=True)
        pooled = self._network(x).float()
        return Features(pooled, self._classifier(pooled).float())
