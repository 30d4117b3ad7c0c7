"""DINOv2: features that were learned without labels."""

from __future__ import annotations

import math
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from sngan_cli.contracts import Extractor, Features, LoadedExtractor
from sngan_plugins.extractors.published import PublishedWeights

if TYPE_CHECKING:
    from torch import Tensor
    from torchvision.models import VisionTransformer

SIDE, PATCH = 224, 14
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Size(NamedTuple):
    """A transformer's measures, and its weights."""

    width: int
    layers: int
    heads: int
    weights: PublishedWeights


def _weights(letter: str, sha256: str) -> PublishedWeights:
    name = f"dinov2_vit{letter}14"
    return PublishedWeights(
        title=f"DINOv2 ViT-{letter.upper()}/14",
        url=f"https://dl.fbaipublicfiles.com/dinov2/{name}/{name}_pretrain.pth",
        sha256=sha256,
        variable="SNGAN_DINOV2_WEIGHTS",
    )


SIZES = {
    "small": Size(384, 12, 6, _weights("s", "b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9")),
    "base": Size(768, 12, 12, _weights("b", "0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73")),
    "large": Size(1024, 24, 16, _weights("l", "d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428")),
}


class DinoV2(Extractor, contract=1):
    """The class token of a vision transformer trained without labels (Oquab et al., 2024); it has no classes.

    Stein et al. (2023) found distances in this space nearer to people's judgement than Inception's. Input and features
    are those of torch-fidelity's `dinov2-vit-*-14`; but that runs code from the network, unverified, each time it is
    built. Here the published weights, verified, go into torchvision's transformer.
    """

    size: Literal["small", "base", "large"] = "large"
    """The transformer: 84, 330 or 1161 MiB of weights."""
    weights: Path | None = None
    """File of the weights; else $SNGAN_DINOV2_WEIGHTS, then the caches of sngan and torch, then the network."""

    def load(self, device: str, cache: Path) -> LoadedExtractor:
        """Find, verify and load the weights."""
        size = SIZES[self.size]
        network = transformer(size)
        network.load_state_dict(converted(size.weights.load(self.weights, cache)))
        return DinoV2Network(network, size.weights.sha256, device)


class DinoV2Network:
    """The transformer on a device: features (N, width) of the class token, and logits (N, 0): it has no classes."""

    def __init__(self, network: VisionTransformer, sha256: str, device: str):
        self.weights_sha256, self._device = sha256, device
        self._network = network.to(device).eval().requires_grad_(False)
        self._mean, self._std = (255 * torch.tensor(values, device=device).view(3, 1, 1) for values in (MEAN, STD))

    def __call__(self, images: Tensor) -> Features:
        """Extract from uint8 images (N, 3, H, W)."""
        from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

        x = interpolate_bilinear_2d_like_tensorflow1x(
            images.to(self._device).float(), size=(SIDE, SIDE), align_corners=False
        )
        token = self._network((x - self._mean) / self._std).float()
        return Features(token, token.new_empty(len(token), 0))


def transformer(size: Size) -> VisionTransformer:
    """Build torchvision's transformer without its classifier: images (N, 3, 224, 224) to class tokens (N, width)."""
    from torchvision.models import VisionTransformer

    network = VisionTransformer(
        image_size=SIDE, patch_size=PATCH, num_layers=size.layers, num_heads=size.heads, hidden_dim=size.width,
        mlp_dim=4 * size.width, norm_layer=partial(nn.LayerNorm, eps=1e-6),
    )  # fmt: skip
    network.heads = nn.Identity()
    return network


_NAMES = {
    r"cls_token": "class_token",
    r"patch_embed\.proj\.": "conv_proj.",
    r"norm\.": "encoder.ln.",
    r"blocks\.(\d+)\.norm([12])\.": r"encoder.layers.encoder_layer_\1.ln_\2.",
    r"blocks\.(\d+)\.attn\.qkv\.": r"encoder.layers.encoder_layer_\1.self_attention.in_proj_",
    r"blocks\.(\d+)\.attn\.proj\.": r"encoder.layers.encoder_layer_\1.self_attention.out_proj.",
    r"blocks\.(\d+)\.mlp\.fc1\.": r"encoder.layers.encoder_layer_\1.mlp.0.",
    r"blocks\.(\d+)\.mlp\.fc2\.": r"encoder.layers.encoder_layer_\1.mlp.3.",
}
"""How DINOv2's tensors are called in torchvision."""


def converted(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Bring DINOv2's tensors to torchvision's names and shapes.

    torchvision has no layer scale, h + gamma * f(h): gamma goes into the linear layer that f ends with.
    """
    found = {"encoder.pos_embedding": positions(tensors["pos_embed"])}
    for name, tensor in tensors.items():
        if last := re.fullmatch(r"(blocks\.\d+\.)(attn\.proj|mlp\.fc2)\.(weight|bias)", name):
            gamma = tensors[f"{last[1]}ls{1 if last[2] == 'attn.proj' else 2}.gamma"]
            tensor = torch.einsum("o...,o->o...", tensor, gamma)  # noqa: PLW2901
        for theirs, ours in _NAMES.items():
            if re.match(theirs, name):
                found[re.sub(theirs, ours, name, count=1)] = tensor
    return found


def positions(embedding: Tensor) -> Tensor:
    """Resize position embeddings (1, 1 + M^2, width) to 16 x 16 patches, as DINOv2 does when it is given 224 pixels."""
    own, side = embedding[:, :1], math.isqrt(embedding.shape[1] - 1)
    patches = embedding[:, 1:].transpose(1, 2).reshape(1, -1, side, side)
    # Their scale is a little more than 16 / M, lest rounding leave 15; it shifts where they sample.
    scale = (SIDE // PATCH + 0.1) / side
    patches = F.interpolate(patches, scale_factor=(scale, scale), mode="bicubic")
    return torch.cat([own, patches.flatten(2).transpose(1, 2)], 1)
