"""The standard CNN."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sngan_cli.contracts import Architecture, Field, NetworkShape, Normalization
from sngan_plugins.layers import (
    ProjectionHead,
    as_map,
    conv,
    deconv,
    discriminator_norm,
    drop_idle_bias,
    flattened,
    generator_norm,
    linear,
    scaled,
)

_SIDES = tuple(range(8, 129, 8))
_G_CHANNELS = (512, 256, 128, 64)
_D_LAYERS = ((64, 3, 1), (64, 4, 2), (128, 3, 1), (128, 4, 2), (256, 3, 1), (256, 4, 2), (512, 3, 1))
"""Channels, kernel and stride of each convolution of D."""


class Standard(Architecture, contract=1):
    """Standard CNN (Miyato et al., 2018, table 3), at 32 and 48 px as published; any multiple of 8 up to 128 px here.

    The generator's first map is an eighth of the side wide; everything else is the same at every size.
    """

    generator_sides: ClassVar = _SIDES
    discriminator_sides: ClassVar = _SIDES

    width: float = Field(default=1.0, gt=0, le=64)
    """Multiplier of all hidden channels."""
    leaky_slope: float = Field(default=0.1, ge=0)
    """Slope of D's leaky ReLU below 0."""
    linear_norm: bool = False
    """Normalise and rectify the map after G's linear layer, as the paper does and the seed does not."""

    def generator(self, shape: NetworkShape, norm: Normalization) -> nn.Module:
        """Linear, then three transposed convolutions; ends conv 3x3 and tanh."""
        return Generator(shape, norm, [scaled(c, self.width) for c in _G_CHANNELS], linear_norm=self.linear_norm)

    def discriminator(self, shape: NetworkShape, norm: Normalization) -> nn.Module:
        """Seven convolutions, then a linear layer on all their features."""
        layers = [(scaled(channels, self.width), kernel, stride) for channels, kernel, stride in _D_LAYERS]
        return Discriminator(shape, norm, layers, self.leaky_slope)


class Generator(nn.Module):
    """z (N, 128), y (N,) -> images (N, 3, H, W) in [-1, 1]."""

    latent_dim = 128

    def __init__(self, shape: NetworkShape, norm: Normalization, channels: list[int], *, linear_norm: bool):
        super().__init__()
        self._first = (channels[0], shape.side // 8, shape.side // 8)
        self.linear = linear(norm, self.latent_dim, channels[0] * self._first[1] ** 2)
        self.linear_norm = generator_norm(norm, channels[0], shape.classes) if linear_norm else None
        self.deconvs = nn.ModuleList(deconv(norm, i, o) for i, o in pairwise(channels))
        self.norms = nn.ModuleList(generator_norm(norm, c, shape.classes) for c in channels[1:])
        for deconv_, after in zip(self.deconvs, self.norms, strict=True):
            drop_idle_bias(after, deconv_)
        self.to_rgb = conv(norm, channels[-1], 3, 3)

    def forward(self, z: Tensor, y: Tensor | None) -> Tensor:
        """Draw images for latents and labels."""
        h = as_map(self.linear(z), self._first)
        if self.linear_norm is not None:
            h = F.relu(self.linear_norm(h, y))
        for deconv_, norm in zip(self.deconvs, self.norms, strict=True):
            h = F.relu(norm(deconv_(h), y), inplace=True)
        return torch.tanh(self.to_rgb(h))


class Discriminator(nn.Module):
    """x (N, 3, H, W), y (N,) -> logits (N,).

    A normalisation of features, where there is one, stands between each convolution and its leaky ReLU.
    """

    def __init__(self, shape: NetworkShape, norm: Normalization, layers: list[tuple[int, int, int]], slope: float):
        """Take channels, kernel and stride of each convolution."""
        super().__init__()
        self._slope = slope
        channels = [3, *(c for c, _, _ in layers)]
        self.convs = nn.ModuleList(
            conv(norm, i, o, kernel, stride=stride)
            for (i, o), (_, kernel, stride) in zip(pairwise(channels), layers, strict=True)
        )
        self.norms = nn.ModuleList(discriminator_norm(norm, c) for c in channels[1:])
        for conv_, after in zip(self.convs, self.norms, strict=True):
            drop_idle_bias(after, conv_)
        last_side = shape.side // math.prod(stride for _, _, stride in layers)
        self.head = ProjectionHead(norm, channels[-1] * last_side**2, shape.classes)

    def forward(self, x: Tensor, y: Tensor | None) -> Tensor:
        """Judge images under their labels."""
        for conv_, norm in zip(self.convs, self.norms, strict=True):
            x = F.leaky_relu(norm(conv_(x), None), self._slope, inplace=True)
        logits: Tensor = self.head(flattened(x), y)
        return logits
