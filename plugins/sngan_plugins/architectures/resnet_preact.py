"""The pre-activation ResNet."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sngan_cli.contracts import Architecture, Field, NetworkShape, Normalization
from sngan_plugins.layers import (
    RESIDUAL_GAIN,
    DownConv,
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

_SIDES = tuple(sorted(s << k for s in (3, 4, 5, 7) for k in range(1, 8) if s << k <= 512))
_MOST = 1024
"""Channels never exceed this."""


class ResnetPreact(Architecture, contract=1):
    """Pre-activation ResNet (Miyato et al., 2018, tables 4 to 6), at 32, 48, 64, 96 and 128 px as published.

    Other sides s * 2^k (s = 3, 4, 5 or 7, the side of the smallest map) follow the pattern of 64 px and up: channels
    halve, from 1024 at most, as the side doubles, down to 64 in G's last block and D's first.
    """

    generator_sides: ClassVar = _SIDES
    discriminator_sides: ClassVar = _SIDES

    width: float = Field(default=1.0, gt=0, le=64)
    """Multiplier of all hidden channels."""
    last_ch: int | None = Field(default=None, ge=1)
    """Channels of D's last block, before the multiplier; by default as published (the article: also 512 at 48 px)."""
    d_hidden: Literal["out", "in"] = "out"
    """Channels between the two convolutions of a block of D: those that leave it or, as in the paper's code, enter."""

    def generator(self, shape: NetworkShape, norm: Normalization) -> nn.Module:
        """Linear, then blocks that double the side; ends norm, ReLU, conv 3x3 and tanh."""
        first, channels = _generator_channels(shape.side)
        return Generator(shape, norm, first, [scaled(c, self.width) for c in channels])

    def discriminator(self, shape: NetworkShape, norm: Normalization) -> nn.Module:
        """Blocks that halve the side, then ReLU, sum over all pixels and a linear layer."""
        blocks = discriminator_blocks(shape.side)
        if self.last_ch is not None:
            blocks[-1] = (self.last_ch, blocks[-1][1])
        scaled_blocks = [(scaled(c, self.width), down) for c, down in blocks]
        return Discriminator(shape, norm, scaled_blocks, hidden=self.d_hidden)


def halvings(side: int) -> int:
    """How often a side can be halved before it is odd or would fall below 3."""
    times = 0
    while side % 2 == 0 and side // 2 >= 3:
        side, times = side // 2, times + 1
    return times


def _generator_channels(side: int) -> tuple[int, list[int]]:
    """Side of the first map, and channels after the linear layer and each block."""
    if side == 32:
        return 4, [256] * 4
    if side == 48:
        return 6, [512, 256, 128, 64]
    blocks = halvings(side)
    return side >> blocks, [min(_MOST, 64 << (blocks - k)) for k in range(blocks + 1)]


def discriminator_blocks(side: int) -> list[tuple[int, bool]]:
    """Channels of each block, and whether it halves the side."""
    if side == 32:
        return [(128, True), (128, True), (128, False), (128, False)]
    blocks = halvings(side)
    return [(min(_MOST, 64 << k), k < blocks) for k in range(blocks + 1)]


class Generator(nn.Module):
    """z (N, 128), y (N,) -> images (N, 3, H, W) in [-1, 1]."""

    latent_dim = 128

    def __init__(self, shape: NetworkShape, norm: Normalization, first: int, channels: list[int]):
        super().__init__()
        self._first = (channels[0], first, first)
        self.linear = linear(norm, self.latent_dim, channels[0] * first**2)
        blocks = [GeneratorBlock(norm, i, o, shape.classes) for i, o in pairwise(channels)]
        self.blocks = nn.ModuleList(blocks)
        self.norm = generator_norm(norm, channels[-1], shape.classes)
        for block in blocks:  # what it adds to all of a channel comes to norms alone, through shortcuts as well
            drop_idle_bias(self.norm, block.conv2, block.shortcut)
        self.to_rgb = conv(norm, channels[-1], 3, 3)

    def forward(self, z: Tensor, y: Tensor | None) -> Tensor:
        """Draw images for latents and labels."""
        h = as_map(self.linear(z), self._first)
        for block in self.blocks:
            h = block(h, y)
        return torch.tanh(self.to_rgb(F.relu(self.norm(h, y), inplace=True)))


class GeneratorBlock(nn.Module):
    """Norm, ReLU, up, conv, norm, ReLU, conv; plus a shortcut: (N, C, H, W) -> (N, C', 2H, 2W)."""

    def __init__(self, norm: Normalization, channels_in: int, channels_out: int, classes: int | None):
        super().__init__()
        self.norm1 = generator_norm(norm, channels_in, classes)
        self.conv1 = UpConv(norm, channels_in, channels_out, 3, gain=RESIDUAL_GAIN)
        self.norm2 = generator_norm(norm, channels_out, classes)
        self.conv2 = conv(norm, channels_out, channels_out, 3, gain=RESIDUAL_GAIN)
        self.shortcut = UpConv(norm, channels_in, channels_out, 1)
        drop_idle_bias(self.norm2, self.conv1)

    def forward(self, x: Tensor, y: Tensor | None) -> Tensor:
        """Add the residual to the shortcut."""
        h = self.conv1(F.relu(self.norm1(x, y)))
        h = self.conv2(F.relu(self.norm2(h, y), inplace=True))
        out: Tensor = h + self.shortcut(x)
        return out


class Discriminator(nn.Module):
    """x (N, 3, H, W), y (N,) -> logits (N,).

    Where `stem` is given, a 4x4 convolution of stride 2 with so many channels comes before the blocks.
    """

    def __init__(
        self,
        shape: NetworkShape,
        norm: Normalization,
        blocks: list[tuple[int, bool]],
        *,
        hidden: Literal["out", "in"] = "out",
        stem: int | None = None,
    ):
        super().__init__()
        self.stem = None if stem is None else conv(norm, 3, stem, 4, stride=2)
        channels = [stem or 3, *(c for c, _ in blocks)]
        raw = [stem is None, *(False for _ in blocks[1:])]
        made = [
            DiscriminatorBlock(norm, i, o, down=down, first=first, hidden=i if hidden == "in" and not first else o)
            for (i, o), (_, down), first in zip(pairwise(channels), blocks, raw, strict=True)
        ]
        self.blocks = nn.ModuleList(made)
        self.norm = discriminator_norm(norm, channels[-1])
        for block in made:
            drop_idle_bias(self.norm, block.conv2, block.shortcut)
        self.head = ProjectionHead(norm, channels[-1], shape.classes)

    def forward(self, x: Tensor, y: Tensor | None) -> Tensor:
        """Judge images under their labels."""
        if self.stem is not None:
            x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        # In float32 before the ReLU: what comes back from a sum has strides of 0, which bf16's ReLU is slow to take up.
        phi = F.relu(self.norm(x, None).float()).sum((2, 3))
        logits: Tensor = self.head(phi, y)
        return logits


class DiscriminatorBlock(nn.Module):
    """ReLU, conv, ReLU, conv, pool where `down`; plus a shortcut: (N, C, H, W) -> (N, C', H/2, W/2).

    The first block sees the raw image, and so has neither the normalisation nor the ReLU before its first convolution.
    A normalisation of features, where there is one, stands before each ReLU.
    """

    def __init__(
        self, norm: Normalization, channels_in: int, channels_out: int, *, down: bool, first: bool, hidden: int
    ):
        super().__init__()
        self._first = first
        last = DownConv if down else conv
        self.norm1 = None if first else discriminator_norm(norm, channels_in)
        self.conv1 = conv(norm, channels_in, hidden, 3, gain=RESIDUAL_GAIN)
        self.norm2 = discriminator_norm(norm, hidden)
        self.conv2 = last(norm, hidden, channels_out, 3, gain=RESIDUAL_GAIN)
        learned = down or channels_in != channels_out
        self.shortcut = last(norm, channels_in, channels_out, 1) if learned else nn.Identity()
        drop_idle_bias(self.norm2, self.conv1)

    def forward(self, x: Tensor) -> Tensor:
        """Add the residual to the shortcut."""
        h = x if self.norm1 is None else F.relu(self.norm1(x, None))
        h = self.conv2(F.relu(self.norm2(self.conv1(h), None), inplace=True))
        out: Tensor = h + self.shortcut(x)
        return out
