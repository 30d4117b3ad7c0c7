"""The standard CNN's discriminator with 3x3 convolutions throughout."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from sngan_cli.contracts import Architecture, Field, NetworkShape, Normalization
from sngan_plugins.architectures.standard import Discriminator
from sngan_plugins.layers import scaled

_STAGES = (32, 64, 128, 256)


class StandardStrided(Architecture, contract=1):
    """Standard CNN that halves the side in 3x3 convolutions; a discriminator only (the article's appendix 1, 48 px).

    Four stages of 32, 64, 128 and 256 channels, each a convolution of stride 2 and one of stride 1; a linear layer.
    """

    discriminator_sides: ClassVar = tuple(range(16, 129, 16))

    width: float = Field(default=1.0, gt=0, le=64)
    """Multiplier of all hidden channels."""
    leaky_slope: float = Field(default=0.1, ge=0)
    """Slope of the leaky ReLU below 0; the article also tried 0.2."""

    def discriminator(self, shape: NetworkShape, norm: Normalization) -> nn.Module:
        """Eight convolutions, then a linear layer on all their features."""
        layers = [(scaled(channels, self.width), 3, stride) for channels in _STAGES for stride in (2, 1)]
        return Discriminator(shape, norm, layers, self.leaky_slope)
