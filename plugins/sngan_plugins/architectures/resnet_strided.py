"""The pre-activation ResNet's discriminator behind a strided convolution."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from sngan_cli.contracts import Architecture, Field, NetworkShape, Normalization
from sngan_plugins.architectures.resnet_preact import Discriminator, ResnetPreact, discriminator_blocks
from sngan_plugins.layers import scaled

_STEM = 32
"""Channels of the strided convolution."""


class ResnetStrided(Architecture, contract=1):
    """Pre-activation ResNet of half the resolution; a discriminator only (the article's flowers and appendix 3).

    A 4x4 convolution of stride 2 to 32 channels, then `resnet-preact` with one block fewer: the costliest part, the
    blocks at full resolution, is gone. The article used it at 48 and 96 px; 12 px and up here.
    """

    discriminator_sides: ClassVar = tuple(side for side in ResnetPreact.discriminator_sides if side // 2 >= 6)

    width: float = Field(default=1.0, gt=0, le=64)
    """Multiplier of all hidden channels."""

    def discriminator(self, shape: NetworkShape, norm: Normalization) -> nn.Module:
        """Strided convolution, blocks that halve the side, then ReLU, sum over all pixels and a linear layer."""
        *blocks, (channels, _), _ = discriminator_blocks(shape.side)
        scaled_blocks = [(scaled(c, self.width), down) for c, down in (*blocks, (channels, False))]
        return Discriminator(shape, norm, scaled_blocks, stem=scaled(_STEM, self.width))
