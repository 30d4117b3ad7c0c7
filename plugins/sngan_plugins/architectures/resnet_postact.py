"""The post-activation ResNet of the article's appendices."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sngan_cli.contracts import Architecture, Field, NetworkShape, Normalization
from sngan_plugins.architectures.resnet_preact import ResnetPreact, halvings
from sngan_plugins.layers import (
    RESIDUAL_GAIN,
    ProjectionHead,
    UpConv,
    as_map,
    conv,
    discriminator_norm,
    drop_idle_bias,
    generator_norm,
    linear,
    scaled,
)

_MOST = 1024
"""Channels never exceed this."""


class ResnetPostact(Architecture, contract=1):
    """Post-activation ResNet (the article's appendices 1 to 3, 48 px): convolution, normalisation, ReLU.

    G begins at side 3, 4, 5 or 7 and doubles it in every other block, its channels halving down to 64; the last block
    doubles it once more. D halves the side in every other block, pooling first, and doubles its channels there.
    """

    generator_sides: ClassVar = ResnetPreact.generator_sides
    discriminator_sides: ClassVar = ResnetPreact.discriminator_sides

    width: float = Field(default=1.0, gt=0, le=64)
    """Multiplier of all hidden channels."""
    initial_ch: int = Field(default=64, ge=1)
    """Channels of D's first block, before the multiplier; the article tried 16, 32 and 64."""

    def generator(self, shape: NetworkShape, norm: Normalization) -> nn.Module:
        """Linear, blocks of which every other doubles the side, then conv 3x3 and tanh."""
        doublings = halvings(shape.side)
        widths = [min(_MOST, 64 << k) for k in reversed(range(doublings))]
        blocks = [(scaled(c, self.width), up) for c in widths for up in (True, False)][:-1]
        return Generator(shape, norm, shape.side >> doublings, blocks)

    def discriminator(self, shape: NetworkShape, norm: Normalization) -> nn.Module:
        """Blocks of which every other halves the side, sum over all pixels, and a linear layer."""
        widths = [min(_MOST, self.initial_ch << k) for k in range(halvings(shape.side))]
        return Discriminator(shape, norm, [(scaled(c, self.width), down) for c in widths for down in (True, False)])


class Generator(nn.Module):
    """z (N, 128), y (N,) -> images (N, 3, H, W) in [-1, 1]."""

    latent_dim = 128

    def __init__(self, shape: NetworkShape, norm: Normalization, first: int, blocks: list[tuple[int, bool]]):
        """Take channels of each block, and whether it doubles the side."""
        super().__init__()
        channels = [blocks[0][0], *(c for c, _ in blocks)]
        self._first = (channels[0], first, first)
        self.linear = linear(norm, self.latent_dim, channels[0] * first**2)
        self.blocks = nn.ModuleList(
            GeneratorBlock(norm, i, o, shape.classes, up=up)
            for (i, o), (_, up) in zip(pairwise(channels), blocks, strict=True)
        )
        self.to_rgb = conv(norm, channels[-1], 3, 3)

    def forward(self, z: Tensor, y: Tensor | None) -> Tensor:
        """Draw images for latents and labels."""
        h = as_map(self.linear(z), self._first)
        for block in self.blocks:
            h = block(h, y)
        return torch.tanh(self.to_rgb(h))


class GeneratorBlock(nn.Module):
    """Up where asked, conv, norm, ReLU, conv, norm, ReLU; plus a shortcut: (N, C, H, W) -> (N, C', H', W')."""

    def __init__(self, norm: Normalization, channels_in: int, channels_out: int, classes: int | None, *, up: bool):
        super().__init__()
        first = UpConv if up else conv
        self.conv1 = first(norm, channels_in, channels_out, 3, gain=RESIDUAL_GAIN)
        self.norm1 = generator_norm(norm, channels_out, classes)
        self.conv2 = conv(norm, channels_out, channels_out, 3, gain=RESIDUAL_GAIN)
        self.norm2 = generator_norm(norm, channels_out, classes)
        drop_idle_bias(self.norm1, self.conv1)
        drop_idle_bias(self.norm2, self.conv2)
        learned = up or channels_in != channels_out
        self.shortcut = first(norm, channels_in, channels_out, 1) if learned else nn.Identity()

    def forward(self, x: Tensor, y: Tensor | None) -> Tensor:
        """Add the residual to the shortcut."""
        h = F.relu(self.norm1(self.conv1(x), y))
        h = F.relu(self.norm2(self.conv2(h), y))
        out: Tensor = h + self.shortcut(x)
        return out


class Discriminator(nn.Module):
    """x (N, 3, H, W), y (N,) -> logits (N,)."""

    def __init__(self, shape: NetworkShape, norm: Normalization, blocks: list[tuple[int, bool]]):
        """Take channels of each block, and whether it halves the side."""
        super().__init__()
        channels = [3, *(c for c, _ in blocks)]
        self.blocks = nn.ModuleList(
            DiscriminatorBlock(norm, i, o, down=down)
            for (i, o), (_, down) in zip(pairwise(channels), blocks, strict=True)
        )
        self.head = ProjectionHead(norm, channels[-1], shape.classes)

    def forward(self, x: Tensor, y: Tensor | None) -> Tensor:
        """Judge images under their labels."""
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(x.sum((2, 3), dtype=torch.float32), y)
        return logits


class DiscriminatorBlock(nn.Module):
    """Pool where `down`, conv, ReLU, conv, ReLU; plus a shortcut: (N, C, H, W) -> (N, C', H', W').

    A normalisation of features, where there is one, stands before each ReLU.
    """

    def __init__(self, norm: Normalization, channels_in: int, channels_out: int, *, down: bool):
        super().__init__()
        self._down = down
        self.conv1 = conv(norm, channels_in, channels_out, 3, gain=RESIDUAL_GAIN)
        self.norm1 = discriminator_norm(norm, channels_out)
        self.conv2 = conv(norm, channels_out, channels_out, 3, gain=RESIDUAL_GAIN)
        self.norm2 = discriminator_norm(norm, channels_out)
        drop_idle_bias(self.norm1, self.conv1)
        drop_idle_bias(self.norm2, self.conv2)
        learned = down or channels_in != channels_out
        self.shortcut = conv(norm, channels_in, channels_out, 1) if learned else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Add the residual to the shortcut."""
        if self._down:
            x = F.avg_pool2d(x, 2)
        h = F.relu(self.norm1(self.conv1(x), None))
        h = F.relu(self.norm2(self.conv2(h), None))
        out: Tensor = h + self.shortcut(x)
        return out
