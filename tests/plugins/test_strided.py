"""The strided discriminators against parameter counts worked out by hand."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sngan_cli.contracts import NetworkShape
from sngan_plugins.architectures.resnet_preact import ResnetPreact
from sngan_plugins.architectures.resnet_strided import ResnetStrided
from sngan_plugins.architectures.standard_strided import StandardStrided
from sngan_plugins.normalizations.none import NoNormalization

NONE = NoNormalization()


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("side", "last", "total"), [(32, 2, 1_173_281), (48, 3, 1_174_561), (96, 6, 1_181_473)])
def test_standard_strided_parameters(side: int, last: int, total: int) -> None:
    convs = [
        (3 * 32 * 9 + 32) + (32 * 32 * 9 + 32),
        (32 * 64 * 9 + 64) + (64 * 64 * 9 + 64),
        (64 * 128 * 9 + 128) + (128 * 128 * 9 + 128),
        (128 * 256 * 9 + 256) + (256 * 256 * 9 + 256),
    ]
    features = last * last * 256
    assert sum(convs) + features + 1 == total
    assert parameters(StandardStrided().discriminator(NetworkShape(side), NONE)) == total
    conditional = StandardStrided().discriminator(NetworkShape(side, classes=10), NONE)
    assert parameters(conditional) == total + 10 * features


@pytest.mark.parametrize(
    ("arch", "slope"), [(StandardStrided(width=0.1), 0.1), (StandardStrided(width=0.1, leaky_slope=0.2), 0.2)]
)
def test_standard_strided_layer_by_layer(arch: StandardStrided, slope: float) -> None:
    torch.manual_seed(0)
    network = arch.discriminator(NetworkShape(16), NONE).double()
    x = torch.randn(3, 3, 16, 16, dtype=torch.float64)
    h = x
    for k, conv in enumerate(network.convs):
        h = F.leaky_relu(F.conv2d(h, conv.weight, conv.bias, stride=1 + (k % 2 == 0), padding=1), slope)
    assert h.shape == (3, 26, 1, 1)
    torch.testing.assert_close(network(x, None), network.head.linear(h.flatten(1)).squeeze(1))


BLOCKS = {
    32: [(32, 128), (128, 128), (128, 128)],
    48: [(32, 64), (64, 128), (128, 256), (256, 512)],
    64: [(32, 64), (64, 128), (128, 256), (256, 512)],
    96: [(32, 64), (64, 128), (128, 256), (256, 512), (512, 1024)],
}
"""Behind the strided convolution, as (in, out) channels; all but the last halve the side, at 32 px the first alone."""


@pytest.mark.parametrize(("side", "total"), [(32, 797_345), (48, 4_879_201), (64, 4_879_201), (96, 19_562_849)])
def test_resnet_strided_parameters(side: int, total: int) -> None:
    blocks = BLOCKS[side]
    convs = sum((9 * i * o + o) + (9 * o * o + o) for i, o in blocks)
    learned = blocks if side != 32 else blocks[:2]
    shortcuts = sum(i * o + o for i, o in learned)
    stem = 3 * 32 * 16 + 32
    assert stem + convs + shortcuts + blocks[-1][1] + 1 == total
    assert parameters(ResnetStrided().discriminator(NetworkShape(side), NONE)) == total
    conditional = ResnetStrided().discriminator(NetworkShape(side, classes=102), NONE)
    assert parameters(conditional) == total + 102 * blocks[-1][1]


def test_resnet_strided_layer_by_layer() -> None:
    torch.manual_seed(0)
    network = ResnetStrided(width=0.1).discriminator(NetworkShape(24), NONE).double()
    x = torch.randn(2, 3, 24, 24, dtype=torch.float64)
    h = F.conv2d(x, network.stem.weight, network.stem.bias, stride=2, padding=1)
    assert h.shape == (2, 3, 12, 12)
    for block, down in zip(network.blocks, (True, True, False), strict=True):
        conv2, shortcut = (block.conv2.conv, block.shortcut.conv) if down else (block.conv2, block.shortcut)
        residual = F.conv2d(F.relu(h), block.conv1.weight, block.conv1.bias, padding=1)
        residual = F.conv2d(F.relu(residual), conv2.weight, conv2.bias, padding=1)
        h = residual + F.conv2d(h, shortcut.weight, shortcut.bias)
        h = F.avg_pool2d(h, 2) if down else h
    channels = [3, *(block.conv1.out_channels for block in network.blocks)]
    assert list(pairwise(channels)) == [(3, 6), (6, 13), (13, 26)]
    phi = F.relu(h).sum((2, 3))
    torch.testing.assert_close(network.float()(x.float(), None).double(), network.head.linear.double()(phi)[:, 0],
                               rtol=1e-4, atol=1e-4)  # fmt: skip


def test_the_stem_starts_with_gain_1() -> None:
    torch.manual_seed(0)
    stem = ResnetStrided().discriminator(NetworkShape(12), NONE).stem
    assert stem.weight.abs().max().item() == pytest.approx(math.sqrt(6 / (16 * (3 + 32))), rel=0.01)


def test_sides() -> None:
    assert list(StandardStrided.discriminator_sides) == [16, 32, 48, 64, 80, 96, 112, 128]
    assert list(ResnetStrided.discriminator_sides) == [s for s in ResnetPreact.discriminator_sides if s >= 12]


def test_they_have_no_generator() -> None:
    assert not StandardStrided.generator_sides
    assert not ResnetStrided.generator_sides
